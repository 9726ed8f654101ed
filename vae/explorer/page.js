// How the page moves, and what it says of the point and the image.

// Moving and choosing

function moveTo(z, stay = true) {
  const { low, side } = state.plane;
  state.z = Array.from(z, (v, d) => clamp(v, low[d], low[d] + side));
  if (stay) state.rest = state.z;
  paintImage($("image"), state.here = decode(state.z));
  $("where").textContent = `${state.plane.axis} = ${tuple(state.z)}`;
  showLabel($("near"), labelAround(state.z), "nearest: ");
  paintOver();
  setSliders();
  sumUp();
  later(tell, 500);
  later(keepAddress, 350);
}

function moveInPlane(x, y, stay) {
  moveTo(state.z.map((v, d) => [x, y][state.axes.indexOf(d)] ?? v), stay);
}

function showLabel(element, label, before = "") {
  if (!data.names.length) return element;
  element.replaceChildren(make("span", { className: "dot", style: `background: ${data.colors[label]}` }), before + data.names[label]);
  return element;
}

function choose(index) {
  if (state.drawn) keepStep(); // a drawing can be had back
  Object.assign(state, { chosen: index, drawn: false, image: original(index) });
  drawing.pixels = state.image.slice();
  look();
}

const turn = (step) => choose((state.chosen + step + data.chosen.length) % data.chosen.length);

function look(move = true) { // at the image: what the encoder makes of it
  const { z_mean, z_log_sigma } = state.code = encode(state.image), y = decode(z_mean);
  paintImage($("paper"), drawing.pixels);
  paintImage($("original"), state.image);
  paintImage($("reconstruction"), y);
  const i = data.chosen[state.chosen];
  $("index").textContent = state.drawn ? "your drawing" : i;
  showLabel($("label"), state.drawn ? labelAround(z_mean) : data.which[i], state.drawn ? "nearest: " : "");
  const onAxes = (numbers) => state.axes.map((d) => numbers[d]);
  $("mean").textContent = tuple(onAxes(z_mean));
  for (const each of document.querySelectorAll(".axes")) each.textContent = z_mean.length > 2 ? `[${state.axes}]` : "";
  $("sigma").textContent = z_log_sigma ? `(${minus(onAxes(z_log_sigma).map((s) => Math.exp(s).toPrecision(3)).join(", "))})` : "none: a point";
  $("error-name").textContent = state.plane.loss === "own" ? "squared error" : "error (nats)";
  $("error").textContent = nats(errorOf(y));
  $("kl").textContent = z_log_sigma ? nats(sum(klParts(state.code))) : "none";
  $("undo").ariaDisabled = !drawing.steps.length; // not disabled: that would take the keyboard's focus away
  later(resample, 120); // eight images would hold up a stroke
  if (move) return moveTo(z_mean);
  paintOver();
  sumUp();
}

const nats = (number) => minus(fixed(number, 2));
const errorOf = (y) => LOSSES[state.plane.loss](state.image, y, state.plane.log_sigma);

// Samples

function normal() { // one draw from N(0, 1), by Box and Muller
  return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
}

function sampleAgain() {
  state.noise = Array.from({ length: DRAWS }, () => state.z.map(normal));
  if (state.code.z_log_sigma) paintImage($("prior"), ...state.noise.map(() => decode(state.z.map(normal))));
  later(resample, 0); // in place of one that waits
}

function resample() { // the noise stays, so that only the image changes what is seen
  const { z_mean, z_log_sigma } = state.code;
  $("draws").hidden = !z_log_sigma;
  if (!z_log_sigma) return;
  const posterior = state.noise.map((epsilon) => z_mean.map((m, d) => m + Math.exp(z_log_sigma[d]) * epsilon[d]));
  paintImage($("posterior"), ...posterior.map(decode));
}

function show(plane, z) {
  Object.assign(state, { plane, axes: plane.axes, z: z || plane.low.map(() => 0) });
  document.querySelector(`#planes [value="${plane.id}"]`).checked = true;
  $("over").setAttribute("aria-label", `Latent plane of the ${plane.name}`);
  $("mean-name").textContent = plane.id === "vae" ? "z_mean" : plane.axis;
  state.here = decode(state.z);
  useAxes(plane.axes, !z);
  if (z) moveTo(z);
  sampleAgain();
}

// Dimensions: two are on the axes, the others have sliders

function useAxes(axes, move = false) {
  const { order, axis } = state.plane;
  state.axes = axes;
  $("dimensions").hidden = order.length < 3;
  for (const [k, id] of ["across", "up"].entries())
    $(id).replaceChildren(...order.map((d) => new Option(`${axis}[${d}]`, d, false, d === axes[k])));
  $("sliders").replaceChildren(...order.filter((d) => !axes.includes(d)).map(slider));
  setSliders();
  describe();
  paintUnder();
  look(move);
}

function chooseAxes() { // the same dimension twice would be a line: then the two change places
  const axes = [$("across"), $("up")].map((select) => Number(select.value));
  useAxes(axes[0] === axes[1] ? state.axes.toReversed() : axes);
}

function slider(d) {
  const { low, side, axis } = state.plane;
  const input = make("input", { type: "range", min: low[d], max: low[d] + side, step: side / 500, name: d });
  input.addEventListener("input", () => moveTo(state.z.with(d, Number(input.value))));
  return make("label", {}, `${axis}[${d}]`, input, make("span", { ariaHidden: true }));
}

function setSliders() {
  for (const input of $("sliders").querySelectorAll("input")) {
    input.value = state.z[input.name];
    input.ariaValueText = input.nextSibling.textContent = minus(rounded([state.z[input.name]])[0]);
  }
}

// The arithmetic

const FORMULAS = {
  mse: () => "reconstruction error = sum of (x − decode(z))²",
  bernoulli: () => "reconstruction error = − sum of x log y + (1 − x) log(1 − y) with y = decode(z)",
  gaussian: (s) => `reconstruction error = sum of (x − decode(z))² / (2 s²) + log(s √(2π)) with s = ${s.toFixed(3)}`,
  own: () => "the loss is one of your own, which is not in the page; squared error = sum of (x − decode(z))²",
};

function sumUp() { // for the image, at the point where the reader is
  if (!$("arithmetic").open) return;
  const { code: { z_mean, z_log_sigma }, z } = state, { axis, beta, loss, log_sigma } = state.plane;
  const error = errorOf(state.here), lines = [`${FORMULAS[loss](Math.exp(log_sigma))} = ${nats(error)}`];
  if (!z_log_sigma) return tabulate({ [axis]: z_mean, "point here": z }, [...lines, "no KL divergence: this is the whole loss"]);
  const sigma = z_log_sigma.map(Math.exp), KL = klParts(state.code), kl = sum(KL);
  lines.unshift("z = z_mean + exp(z_log_sigma) · epsilon: the epsilon that leads to the point in the plane");
  lines.push(`KL divergence = sum of ½ (z_mean² + sigma² − 1 − 2 z_log_sigma) = ${nats(kl)}`);
  if (loss !== "own") lines.push(`loss = reconstruction error + beta · KL = ${nats(error)} + ${beta} · ${nats(kl)} = ${nats(error + beta * kl)} nats`);
  tabulate({ z_mean, z_log_sigma, sigma, epsilon: z.map((v, d) => (v - z_mean[d]) / sigma[d]), z, KL }, lines);
}

function tabulate(columns, lines) { // a row for each dimension
  const cells = (kind, texts) => texts.map((text) => make(kind, {}, text));
  const rows = [cells("th", ["", ...Object.keys(columns)])];
  for (let d = 0; d < state.z.length; d++)
    rows.push([...cells("th", [`[${d}]`]), ...cells("td", Object.values(columns).map((column) => minus(fixed(column[d], 3))))]);
  $("table").replaceChildren(...rows.map((row) => make("tr", {}, ...row)));
  $("lines").replaceChildren(...cells("li", lines));
}

function describe() {
  const { plane } = state, parts = ["Each point is an image."], [a, b] = state.axes.map((d) => `${plane.axis}[${d}]`), others = plane.low.length - 2;
  if (others < 0) parts.push("The one dimension runs across; heights only spread the points.");
  if (others > 0) {
    parts.push(`The points are a projection on ${a} and ${b}, wherever they are along the other dimension${others > 1 ? "s" : ""}.`);
    parts.push("What is decoded lies on a slice: the sliders say where.");
  }
  const some = data.chosen.length < data.which.length ? ` of ${data.chosen.length.toLocaleString("en")}, spread evenly` : "";
  parts.push(`Click or tap to choose one${some}, or drag to leave the point where you like.`);
  parts.push("The first image is one that the VAE reconstructs well.");
  if (plane.id === "vae") parts.push("Ellipse: the image's Gaussian, 1 sigma; dashed: the prior, 1 and 2 sigma.");
  if (data.names.length) parts.push("Nearest: the label of most of the 20 nearest images.");
  if (plane.beyond && onFirstAxes()) parts.push(`${plane.beyond} far out, drawn on the rim.`);
  $("about").textContent = parts.join(" ");
}

const waiting = new Map();
function later(work, milliseconds) { // when it was not asked for again for so long
  clearTimeout(waiting.get(work));
  waiting.set(work, setTimeout(work, milliseconds));
}

const tell = () => { $("live").textContent = [$("where"), $("near")].map((each) => each.textContent).join(" "); };

function keepAddress() { // an iframe of a notebook has none of its own
  if (location.protocol !== "about:") history.replaceState(null, "", "#" + [state.plane.id, ...rounded(state.rest)].join(","));
}

function addressed() {
  const [id, ...point] = location.hash.slice(1).split(",");
  const plane = data.planes.find((each) => each.id === id), numbers = point.map(Number);
  const whole = plane && point.length === plane.low.length && point.every((text) => text.trim()) && numbers.every(Number.isFinite);
  return plane && [plane, whole ? numbers : undefined];
}

function onKey(event) {
  const { side } = state.plane, step = side / (event.shiftKey ? 20 : 200);
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (moves[key]) moveInPlane(across(state.z) + step * moves[key][0], up(state.z) + step * moves[key][1]);
  else if (key === "Home") moveTo(state.z.map(() => 0));
  else if (key === "n") turn(1);
  else if (key === "p") turn(-1);
  else if (key === "s") sampleAgain();
  else return;
  event.preventDefault();
}

let pressed = null;
function onPointer(event) {
  if (!event.isPrimary) return; // a second finger
  const box = $("over").getBoundingClientRect();
  const at = [event.clientX - box.left, event.clientY - box.top];
  const point = [view.fromX(at[0]), view.fromY(at[1])], goesOn = ["pointerdown", "pointermove"].includes(event.type);
  if (event.type === "pointerdown" && event.button === 0) pressed = at;
  const tapped = event.type === "pointerup" && pressed && Math.hypot(at[0] - pressed[0], at[1] - pressed[1]) < 8;
  if (!goesOn) pressed = null;
  if (tapped) choose(nearestInPlane(...point));
  else if (goesOn) moveInPlane(...point, pressed !== null);
  else if (state.z !== state.rest) moveTo(state.rest);
}

// Starting

function build() {
  $("legend").replaceChildren(...data.names.map((_, k) => showLabel(make("li"), k)));
  for (const plane of data.planes) {
    const input = make("input", { type: "radio", name: "plane", value: plane.id });
    input.addEventListener("change", () => show(plane));
    $("planes").append(make("label", {}, input, plane.name));
  }
  $("label-name").hidden = $("label").parentElement.hidden = !data.names.length;
  $("planes").hidden = data.planes.length < 2;
  $("fitted").hidden = !data.fitted;
}

function listen() {
  const repaint = () => { paintUnder(); paintOver(); };
  for (const type of ["pointerdown", "pointermove", "pointerup", "pointercancel", "pointerleave"]) {
    $("over").addEventListener(type, onPointer);
    $("paper").addEventListener(type, onPen);
  }
  $("over").addEventListener("keydown", onKey);
  const buttons = { previous: () => turn(-1), next: () => turn(1), clear, undo, again: sampleAgain };
  for (const id of ["across", "up"]) $(id).addEventListener("change", chooseAxes);
  $("arithmetic").addEventListener("toggle", sumUp);
  for (const [id, press] of Object.entries(buttons)) $(id).addEventListener("click", press);
  new ResizeObserver(repaint).observe($("stage"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
  addEventListener("hashchange", () => { const place = addressed(); if (place) show(...place); });
}

document.querySelector("h1").textContent = document.title;
build();
data.originals = await inflate(data.originals);
data.planes.forEach(load);
state.image = original(state.chosen);
drawing.pixels = state.image.slice();
show(...(addressed() || [data.planes[0]]));
listen();
Object.defineProperty(window, "latentPage", { value: Object.freeze({ encode, decode }) });
