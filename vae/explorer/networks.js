// The model's networks, run on flat arrays: row by row, channels last. `networks.py` writes what is read here.

// Activations, by their names in Keras

const sigmoid = (x) => 1 / (1 + Math.exp(-x));

function erf(x) { // Abramowitz & Stegun 7.1.26, to 1.5e-7
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const sum = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  return Math.sign(x) * (1 - sum * Math.exp(-x * x));
}

const ACTIVATIONS = {
  linear: null,
  relu: (x) => Math.max(x, 0),
  leaky_relu: (x) => (x > 0 ? x : 0.2 * x),
  elu: (x) => (x > 0 ? x : Math.expm1(x)),
  selu: (x) => 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * Math.expm1(x)),
  silu: (x) => x * sigmoid(x),
  gelu: (x) => 0.5 * x * (1 + erf(x / Math.SQRT2)),
  tanh: Math.tanh,
  sigmoid,
  softplus: (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))),
  clip_log_sigma: (x) => Math.min(2, Math.max(-15, x)),
};

// Layers: from one flat array to the next

function dense({ output: [n], kernel, bias }, input) {
  const output = Float32Array.from(bias);
  for (let i = 0, k = 0; i < input.length; i++, k += n) {
    const x = input[i];
    if (x !== 0) for (let j = 0; j < n; j++) output[j] += x * kernel[k + j];
  }
  return output;
}

function conv2D(layer, input) {
  const { input: [height, width, from], output: [rows, columns, to], size: [kernelRows, kernelColumns] } = layer;
  const { strides: [down, across], before: [above, left], kernel, bias } = layer;
  const output = new Float32Array(rows * columns * to), sum = new Float64Array(to);
  for (let row = 0, at = 0; row < rows; row++) for (let column = 0; column < columns; column++, at += to) {
    sum.set(bias);
    for (let i = 0; i < kernelRows; i++) {
      const y = row * down - above + i;
      if (y < 0 || y >= height) continue; // the padding: zeros
      for (let j = 0; j < kernelColumns; j++) {
        const x = column * across - left + j;
        if (x >= 0 && x < width) addProducts(sum, input, (y * width + x) * from, from, kernel, (i * kernelColumns + j) * from * to);
      }
    }
    output.set(sum, at);
  }
  return output;
}

function addProducts(sum, input, start, count, kernel, k) {
  const n = sum.length;
  for (let c = start; c < start + count; c++, k += n) {
    const value = input[c];
    if (value !== 0) for (let j = 0; j < n; j++) sum[j] += value * kernel[k + j];
  }
}

// Each pixel of the output is one of the input's: `row` and `column` say which.
function pick({ input: [, width, channels], output: [rows, columns] }, input, row, column) {
  const output = new Float32Array(rows * columns * channels);
  for (let i = 0, at = 0; i < rows; i++) for (let j = 0; j < columns; j++)
    for (let c = 0, k = (row(i) * width + column(j)) * channels; c < channels; c++) output[at++] = input[k + c];
  return output;
}

const LAYERS = {
  Dense: dense,
  Conv2D: conv2D,
  UpSampling2D: (layer, input) => pick(layer, input, (i) => Math.floor(i / layer.size[0]), (j) => Math.floor(j / layer.size[1])),
  Cropping2D: (layer, input) => pick(layer, input, (i) => i + layer.before[0], (j) => j + layer.before[1]),
};

function runNetwork({ layers, results }, input) { // gives an array for each output
  const all = [input];
  for (const layer of layers) {
    const output = LAYERS[layer.kind](layer, all[layer.takes]), activate = ACTIVATIONS[layer.activation];
    if (activate) for (let i = 0; i < output.length; i++) output[i] = activate(output[i]);
    all.push(output);
  }
  return results.map((i) => all[i]);
}

// The loss, in nats: names and formulas of `losses.py`

const sumOver = (x, term) => x.reduce((sum, v, i) => sum + term(v, i), 0);
const logOf = (p) => Math.log(Math.max(p, 1e-7));
const squaredError = (x, y) => sumOver(x, (v, i) => (v - y[i]) ** 2);

const LOSSES = {
  mse: squaredError,
  bernoulli: (x, y) => -sumOver(x, (v, i) => v * logOf(y[i]) + (1 - v) * logOf(1 - y[i])),
  gaussian: (x, y, logSigma) =>
    0.5 * squaredError(x, y) * Math.exp(-2 * logSigma) + x.length * (logSigma + 0.5 * Math.log(2 * Math.PI)),
  own: squaredError, // a function of the user's is not in the page
};

// Of each dimension; their sum is the KL divergence.
const klParts = ({ z_mean, z_log_sigma }) => z_mean.map((m, d) => 0.5 * (m * m + Math.expm1(2 * z_log_sigma[d])) - z_log_sigma[d]);

// Reading

function fromHalf(bits) { // an IEEE half float: 1 bit sign, 5 bits exponent, 10 bits fraction
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
  return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24);
}

const bytesOf = (base64) => Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));

function readNetwork(network) { // gives each layer its weights
  const { buffer } = bytesOf(network.weights);
  const all = network.bits === 16 ? Float32Array.from(new Uint16Array(buffer), fromHalf) : new Float32Array(buffer);
  let at = 0;
  for (const layer of network.layers) {
    if (!layer.activation) continue;
    const n = layer.output.at(-1), inputs = layer.kind === "Dense" ? layer.input[0] : layer.input[2] * layer.size[0] * layer.size[1];
    layer.kernel = all.subarray(at, at + inputs * n);
    layer.bias = all.subarray(at + inputs * n, (at += inputs * n + n));
  }
}
