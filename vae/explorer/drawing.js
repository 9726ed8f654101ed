// Drawing on the image. Everything is done on its pixels, so that what is seen is what is encoded.

const INK = 1 - data.paper;
const BRUSH = 1.3 * Math.max(height, width) / 28; // radius, in pixels
const FITTED = 20; // pixels of MNIST's 28 into which its digits were fitted
// Each step before the last, for undo: the pixels as drawn, and of which image they are.
const drawing = { pixels: null, steps: [], last: null };

function drawLine([x0, y0], [x1, y1]) { // with soft edges
  const [dx, dy] = [x1 - x0, y1 - y0], square = dx * dx + dy * dy;
  for (let v = 0, k = 0; v < height; v++) for (let u = 0; u < width; u++) {
    const [x, y] = [u + 0.5 - x0, v + 0.5 - y0], t = square ? clamp((x * dx + y * dy) / square, 0, 1) : 0;
    const cover = clamp(BRUSH + 0.5 - Math.hypot(x - t * dx, y - t * dy), 0, 1);
    for (let c = 0; c < channels; c++, k++)
      drawing.pixels[k] = INK ? Math.max(drawing.pixels[k], cover) : Math.min(drawing.pixels[k], 1 - cover);
  }
}

// A drawing in the form of the training images. MNIST's digits were fitted into 20 x 20 pixels, and the middle of
// their mass was put in the middle of 28 x 28, to the pixel; other images are taken as they are drawn.
function toForm(pixels) {
  const { side, x, y } = extentOf(pixels), scale = side / FITTED;
  const inForm = Math.abs(side - FITTED) < 2 && Math.abs(x - width / 2) < 1 && Math.abs(y - height / 2) < 1;
  if (!data.fitted || !side || inForm) return pixels; // what is in form already would only be blurred
  const sample = (u, v) => blend(pixels, x + (u - width / 2) * scale, y + (v - height / 2) * scale);
  const image = new Float32Array(values), parts = scale > 1 ? [0.25, 0.75] : [0.5]; // more where it shrinks
  for (let v = 0, k = 0; v < height; v++) for (let u = 0; u < width; u++, k++)
    for (const b of parts) for (const a of parts) image[k] += sample(u + a, v + b) / parts.length ** 2;
  return image;
}

function extentOf(pixels) { // the longer side of what is drawn, and the middle of its mass
  let [top, left, bottom, right, mass, x, y] = [height, width, -1, -1, 0, 0, 0];
  for (let v = 0; v < height; v++) for (let u = 0; u < width; u++) {
    const p = pixels[v * width + u];
    [mass, x, y] = [mass + p, x + p * (u + 0.5), y + p * (v + 0.5)];
    if (p > 0.1) [top, left, bottom, right] = [Math.min(top, v), Math.min(left, u), v, Math.max(right, u)];
  }
  return { side: bottom < 0 ? 0 : Math.max(bottom - top, right - left) + 1, x: x / mass, y: y / mass };
}

function blend(pixels, x, y) { // the four pixels around a place; outside all is black
  const u = Math.floor(x - 0.5), v = Math.floor(y - 0.5), a = x - 0.5 - u, b = y - 0.5 - v;
  const at = (i, j) => (i < 0 || j < 0 || i >= width || j >= height ? 0 : pixels[j * width + i]);
  return (1 - b) * ((1 - a) * at(u, v) + a * at(u + 1, v)) + b * ((1 - a) * at(u, v + 1) + a * at(u + 1, v + 1));
}

function keepStep() {
  drawing.steps.push({ pixels: drawing.pixels.slice(), drawn: state.drawn, chosen: state.chosen });
  if (drawing.steps.length > 100) drawing.steps.shift();
}

function useDrawing() { // after each change of the drawing
  state.drawn = true;
  state.image = toForm(drawing.pixels);
  look();
}

function clear() {
  keepStep();
  drawing.pixels.fill(1 - INK);
  useDrawing();
}

function undo() {
  const step = drawing.steps.pop();
  if (!step) return;
  Object.assign(state, { drawn: step.drawn, chosen: step.chosen });
  drawing.pixels = step.pixels;
  state.image = step.drawn ? toForm(step.pixels) : original(step.chosen);
  look();
}

function onPen(event) {
  if (!event.isPrimary) return; // between two fingers, a stroke would zigzag
  const box = $("paper").getBoundingClientRect();
  const point = [(event.clientX - box.left) / box.width * width, (event.clientY - box.top) / box.height * height];
  if (event.type === "pointerdown" && event.button === 0) {
    keepStep();
    $("paper").setPointerCapture(event.pointerId);
    drawing.last = point;
  } else if (event.type !== "pointermove") drawing.last = null;
  if (!drawing.last) return;
  drawLine(drawing.last, point);
  drawing.last = point;
  useDrawing();
}
