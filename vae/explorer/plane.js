// What the page is told, and the latent plane as it is painted.

const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const [height, width, channels = 1] = data.shape;
const values = height * width * channels;
const DRAWS = 8; // in a strip
const NEIGHBOURS = 20; // whose most frequent label is said to be the nearest
const RIM = { left: 52, right: 12, top: 14, bottom: 50 }; // both sums equal, so that the plane is a square
// The point in the latent space, z, what it decodes to, here, and where it rests when the mouse leaves the plane; the
// dimensions across and up; the image, in [0, 1], and what it encodes to.
const state = { plane: null, z: [], rest: [], axes: [], chosen: data.start, drawn: false, image: null, code: null, noise: [], here: null };
const colorOf = (i) => data.colors[data.which[i]];
const clamp = (v, low, high) => Math.min(high, Math.max(low, v));
const minus = (text) => text.replace(/-/g, "\u2212");

function make(name, properties, ...children) { // an element
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

// Loading

// Not as a picture: browsers that guard against fingerprinting give noise where a canvas is read.
async function inflate(base64) {
  const stream = new Blob([bytesOf(base64)]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

const original = (index) => Float32Array.from(data.originals.subarray(index * values, (index + 1) * values), (v) => v / 255);

function load(plane) {
  const n = plane.low.length;
  plane.points = Float32Array.from(new Uint16Array(bytesOf(plane.points).buffer),
    (v, i) => plane.low[i % n] + plane.side * v / 65535);
  plane.decimals = Math.max(2, 2 - Math.floor(Math.log10(plane.side)));
  readNetwork(plane.encoder);
  readNetwork(plane.decoder);
}

// Computing

const decode = (z) => runNetwork(state.plane.decoder, Float32Array.from(z))[0];

function encode(pixels) {
  const [z_mean, z_log_sigma = null] = runNetwork(state.plane.encoder, Float32Array.from(pixels));
  return { z_mean, z_log_sigma };
}

// Where a point of the latent space is in the plane. One dimension has no height: the points are spread.
const across = (z) => z[state.axes[0]];
const up = (z, i = 0) => (state.axes.length > 1 ? z[state.axes[1]] : state.plane.side * ((i * 0.618034 + 0.5) % 1 - 0.5));
const onFirstAxes = () => String(state.axes) === String(state.plane.axes);
const latent = (i) => { const n = state.z.length; return state.plane.points.subarray(i * n, i * n + n); };
const corner = () => [state.plane.low[state.axes[0]], state.axes.length > 1 ? state.plane.low[state.axes[1]] : -state.plane.side / 2];

function nearestInPlane(x, y) { // of the images that can be chosen
  const distances = data.chosen.map((i) => Math.hypot(across(latent(i)) - x, up(latent(i), i) - y));
  return distances.indexOf(Math.min(...distances));
}

function labelAround(z) { // the number of the label that most of the nearest images have
  const { points } = state.plane, n = z.length;
  if (!data.names.length) return null;
  let close = []; // [distance, image], the nearest first
  for (let i = 0; i < data.which.length; i++) {
    let distance = 0;
    for (let d = 0; d < n; d++) distance += (points[i * n + d] - z[d]) ** 2;
    if (close.length === NEIGHBOURS && distance >= close[NEIGHBOURS - 1][0]) continue;
    close = [...close, [distance, i]].sort((a, b) => a[0] - b[0]).slice(0, NEIGHBOURS);
  }
  const votes = data.names.map(() => 0);
  for (const [, i] of close) votes[data.which[i]]++;
  return votes.indexOf(Math.max(...votes));
}

function fixed(number, digits) { // without a minus before zero
  const text = number.toFixed(digits);
  return Number(text) === 0 ? text.replace("-", "") : text;
}
const rounded = (numbers) => Array.from(numbers, (n) => fixed(n, state.plane.decimals));
const sum = (numbers) => sumOver(numbers, (v) => v);
const tuple = (numbers) => minus("(" + rounded(numbers).join(", ") + ")");

// Painting

function paintImage(canvas, ...images) { // several stand in a row
  const gap = 1, total = images.length * (width + gap) - gap;
  if (canvas.width !== total || canvas.height !== height) [canvas.width, canvas.height] = [total, height];
  const context = canvas.getContext("2d"), pixels = context.createImageData(width, height);
  images.forEach((image, i) => {
    for (let k = 0, to = 0; k < values; k += channels, to += 4) {
      for (let c = 0; c < 3; c++) pixels.data[to + c] = 255 * image[channels > 1 ? k + c : k];
      pixels.data[to + 3] = 255;
    }
    context.putImageData(pixels, i * (width + gap), 0);
  });
}

let view;
function measure() {
  const { side } = state.plane, [left, bottom] = corner(), size = Math.max(120, $("stage").clientWidth); // 0 in a hidden frame
  const scale = (size - RIM.left - RIM.right) / side, style = getComputedStyle(document.documentElement);
  const inks = ["card", "ink", "soft", "line", "fine", "points"].map((ink) => [ink, style.getPropertyValue("--" + ink)]);
  view = {
    size, scale, ink: Object.fromEntries(inks),
    left: RIM.left, right: size - RIM.right, top: RIM.top, bottom: size - RIM.bottom,
    toX: (x) => view.left + (x - left) * scale, toY: (y) => view.bottom - (y - bottom) * scale,
    fromX: (x) => left + (x - view.left) / scale, fromY: (y) => bottom + (view.bottom - y) / scale,
  };
}

function fresh(canvas) {
  const pixels = Math.round(view.size * devicePixelRatio);
  if (canvas.width !== pixels || canvas.height !== pixels) canvas.width = canvas.height = pixels;
  const context = canvas.getContext("2d");
  context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
  context.clearRect(0, 0, view.size, view.size);
  return context;
}

function paintUnder() {
  measure();
  const context = fresh($("under"));
  paintAxes(context);
  clipToPlane(context, 4); // points on the rim are seen whole
  paintPoints(context);
  if (state.plane.id === "vae") paintPrior(context);
  context.restore();
}

function clipToPlane(context, more = 0) { // until the context is restored
  const { left, right, top, bottom } = view;
  context.save();
  context.beginPath();
  context.rect(left - more, top - more, right - left + 2 * more, bottom - top + 2 * more);
  context.clip();
}

function paintAxes(context) {
  const { side, axis } = state.plane, { left, right, top, bottom } = view, low = corner();
  const step = niceStep(side / 7), digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  Object.assign(context, { font: "13px system-ui, sans-serif", lineWidth: 1, strokeStyle: view.ink.fine, fillStyle: view.ink.soft });
  state.axes.forEach((_, k) => { // the first runs across, the second up
    context.textAlign = k ? "right" : "center";
    for (let i = Math.ceil(low[k] / step); i * step <= low[k] + side; i++) {
      const text = minus((i * step).toFixed(digits)), x = view.toX(i * step), y = view.toY(i * step);
      line(context, ...(k ? [left, y, right, y] : [x, bottom, x, top]));
      context.fillText(text, ...(k ? [left - 7, y + 4] : [x, bottom + 17]));
    }
  });
  Object.assign(context, { strokeStyle: view.ink.line, fillStyle: view.ink.ink, textAlign: "center" });
  context.strokeRect(left, top, right - left, bottom - top);
  const [across, up] = state.axes.map((d) => `${axis}[${d}]`);
  context.fillText(across, (left + right) / 2, bottom + 37);
  if (up) turned(context, up, 13, (top + bottom) / 2);
}

function turned(context, text, x, y) { // reads upwards
  context.save();
  context.translate(x, y);
  context.rotate(-Math.PI / 2);
  context.fillText(text, 0, 0);
  context.restore();
}

function niceStep(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  return power * [1, 2, 5, 10].find((factor) => factor * power >= least);
}

const line = (context, x0, y0, x1, y1) => context.stroke(new Path2D(`M ${x0} ${y0} L ${x1} ${y1}`));

function paintPoints(context) {
  const n = data.which.length;
  const radius = (view.size / 640) * clamp(2 * Math.sqrt(3000 / n), 1.6, 3.5);
  context.globalAlpha = Number(view.ink.points);
  for (let i = 0; i < n; i++) {
    context.fillStyle = colorOf(i);
    context.beginPath();
    context.arc(view.toX(across(latent(i))), view.toY(up(latent(i), i)), radius, 0, 7);
    context.fill();
  }
  context.globalAlpha = 1;
}

function paintPrior(context) {
  context.strokeStyle = view.ink.ink;
  context.setLineDash([4, 4]);
  if (state.axes.length < 2) {
    for (const x of [-2, -1, 1, 2]) line(context, view.toX(x), view.top, view.toX(x), view.bottom);
  } else for (const radius of [1, 2]) {
    context.beginPath();
    context.arc(view.toX(0), view.toY(0), radius * view.scale, 0, 7);
    context.stroke();
  }
  context.setLineDash([]);
}

function paintNames(context) { // over the crosshair and the ellipse, or they would strike names out
  if (!onFirstAxes()) return; // on others labels lie over one another
  clipToPlane(context);
  context.font = `bold ${clamp(Math.round(view.size / 32), 11, 18)}px system-ui, sans-serif`;
  Object.assign(context, { textAlign: "center", textBaseline: "middle", lineJoin: "round", lineWidth: 4 });
  context.strokeStyle = view.ink.card;
  context.fillStyle = view.ink.ink;
  state.plane.places.forEach(([x, y], k) => {
    context.strokeText(data.names[k], view.toX(x), view.toY(y));
    context.fillText(data.names[k], view.toX(x), view.toY(y));
  });
  context.restore();
}

function paintOver() {
  const context = fresh($("over")), x = view.toX(across(state.z)), y = view.toY(up(state.z));
  outline(context, 1, () => { // the lines reach the axes, so that a finger does not hide where they cross
    if (state.axes.length > 1) context.moveTo(view.left, y);
    if (state.axes.length > 1) context.lineTo(view.right, y);
    context.moveTo(x, view.top);
    context.lineTo(x, view.bottom);
  });
  paintChosen(context);
  paintNames(context);
}

function outline(context, thickness, shape) { // with a rim of the other tone, so that it shows on any color
  for (const [lineWidth, strokeStyle] of [[thickness + 2, view.ink.card], [thickness, view.ink.ink]]) {
    context.beginPath();
    shape();
    Object.assign(context, { lineWidth, strokeStyle });
    context.stroke();
  }
}

function paintChosen(context) {
  const { z_mean, z_log_sigma } = state.code;
  const x = clamp(view.toX(across(z_mean)), view.left, view.right), y = clamp(view.toY(up(z_mean)), view.top, view.bottom);
  clipToPlane(context);
  if (z_log_sigma) {
    const [wide, high = 0.02 * state.plane.side] = state.axes.map((d) => Math.exp(z_log_sigma[d]));
    outline(context, 2, () => context.ellipse(x, y, wide * view.scale, high * view.scale, 0, 0, 7));
  }
  outline(context, 2, () => context.arc(x, y, 2.5, 0, 7));
  context.restore();
  context.fillStyle = state.drawn ? view.ink.card : colorOf(data.chosen[state.chosen]);
  context.beginPath();
  context.arc(x, y, 2.5, 0, 7);
  context.fill();
}
