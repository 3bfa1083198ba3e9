"use strict";

// The network: weights from base64, one step of each cell, probabilities, draws. Matrices lie in
// rows of inputs, so that a step adds rows: a = x W_xh + h W_hh + b_h.

function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

function littleEndian(bytes, size, read) {
  const view = new DataView(bytes.buffer);
  const values = new Float32Array(bytes.length / size);
  for (let i = 0; i < values.length; i++) values[i] = read(view, i * size);
  return values;
}

function halfFloat(view, at) {
  const bits = view.getUint16(at, true);
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1024 + fraction) * 2 ** (exponent - 25); // finite: others are not exported
}

function float(view, at) {
  return view.getFloat32(at, true);
}

function arrayOf(stored) {
  const bytes = bytesOf(stored.data);
  if (stored.type === "float32") return littleEndian(bytes, 4, float);
  if (stored.type === "float16") return littleEndian(bytes, 2, halfFloat);
  const scale = littleEndian(bytesOf(stored.scale), 4, float);
  const [inputs, columns] = stored.shape.slice(-2);
  const codes = new Int8Array(bytes.buffer);
  const values = new Float32Array(codes.length);
  for (let i = 0; i < values.length; i++) {
    const matrix = Math.floor(i / (inputs * columns));
    values[i] = codes[i] * scale[matrix * columns + (i % columns)];
  }
  return values;
}

// out[j] += the sum over i of x[i] matrix[i][j]; `start` is where the matrix begins.
function addProduct(out, x, matrix, start) {
  const columns = out.length;
  for (let i = 0; i < x.length; i++) {
    const value = x[i];
    const row = start + i * columns;
    for (let j = 0; j < columns; j++) out[j] += value * matrix[row + j];
  }
}

function addRow(out, matrix, start) {
  for (let j = 0; j < out.length; j++) out[j] += matrix[start + j];
}

function sigmoid(x) {
  return 1 / (1 + Math.exp(-x));
}

// Each cell takes the projections of inputs and of the state, gate by gate, and changes the state.
const CELLS = {
  rnn: {
    gates: 1,
    update(state, [x], [u]) {
      for (let j = 0; j < x.length; j++) state.h[j] = Math.tanh(x[j] + u[j]);
    },
  },
  lstm: {
    gates: 4, // i, f, o, g
    update(state, x, u) {
      for (let j = 0; j < x[0].length; j++) {
        const i = sigmoid(x[0][j] + u[0][j]);
        const f = sigmoid(x[1][j] + u[1][j]);
        const o = sigmoid(x[2][j] + u[2][j]);
        state.c[j] = f * state.c[j] + i * Math.tanh(x[3][j] + u[3][j]);
        state.h[j] = o * Math.tanh(state.c[j]);
      }
    },
  },
  mlstm: {
    gates: 4, // i, f, o, g; behind them the scale of the state
    scales: true,
    update(state, x, u) {
      CELLS.lstm.update(state, x, u);
    },
  },
  gru: {
    gates: 3, // r, z, n
    update(state, x, u, b_n) {
      for (let j = 0; j < x[0].length; j++) {
        const r = sigmoid(x[0][j] + u[0][j]);
        const z = sigmoid(x[1][j] + u[1][j]);
        const n = Math.tanh(x[2][j] + r * (u[2][j] + b_n[j]));
        state.h[j] = (1 - z) * n + z * state.h[j];
      }
    },
  },
};

class Network {
  constructor(model) {
    this.cell = CELLS[model.cell];
    this.hidden = model.hidden;
    this.size = model.characters.length;
    this.arrays = {};
    for (const [name, stored] of Object.entries(model.arrays)) this.arrays[name] = arrayOf(stored);
    this.states = Array.from({ length: model.layers }, () => ({}));
    this.reset();
  }

  reset() {
    for (const state of this.states) {
      state.h = new Float64Array(this.hidden);
      state.c = new Float64Array(this.hidden);
    }
  }

  // Read one character; return the logits of the next.
  step(id) {
    let below = null;
    this.states.forEach((state, layer) => {
      const weights = (name) => this.arrays[`layers.${layer}.${name}`];
      const [W_xh, W_hh, b_h] = ["W_xh", "W_hh", "b_h"].map(weights);
      const inputs = below === null ? this.size : this.hidden;
      const x = [];
      const u = [];
      const slices = this.cell.gates + (this.cell.scales ? 1 : 0);
      for (let gate = 0; gate < slices; gate++) {
        x.push(new Float64Array(this.hidden));
        const start = gate * inputs * this.hidden;
        addRow(x[gate], b_h, gate * this.hidden);
        if (below === null) addRow(x[gate], W_xh, start + id * this.hidden);
        else addProduct(x[gate], below, W_xh, start);
      }
      const scale = this.cell.scales ? x.pop() : null;
      const read = scale === null ? state.h : state.h.map((value, j) => value * scale[j]);
      for (let gate = 0; gate < this.cell.gates; gate++) {
        u.push(new Float64Array(this.hidden));
        addProduct(u[gate], read, W_hh, gate * this.hidden * this.hidden);
      }
      this.cell.update(state, x, u, weights("b_n"));
      below = state.h;
    });
    const logits = Float64Array.from(this.arrays.b_y);
    addProduct(logits, below, this.arrays.W_hy, 0);
    return logits;
  }
}

function largestOf(values) {
  return values.reduce((best, value, id) => (value > values[best] ? id : best), 0);
}

// Softmax of logits / temperature; at temperature 0 all of it is the most probable character's.
function probabilities(logits, temperature) {
  const best = largestOf(logits);
  if (temperature === 0) return logits.map((_, id) => (id === best ? 1 : 0));
  const largest = logits[best];
  const weights = logits.map((logit) => Math.exp((logit - largest) / temperature));
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / sum);
}

// Uniform numbers from 0 to below 1: xorshift with 32 bits (Marsaglia 2003, Journal of Statistical
// Software 8(14)), whose state must not be 0.
class Uniform {
  constructor(seed) {
    this.state = Math.imul(seed + 1, 0x9e3779b1) >>> 0 || 1;
    for (let i = 0; i < 16; i++) this.next();
  }

  next() {
    let x = this.state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state = x >>> 0;
    return this.state / 2 ** 32;
  }
}

function draw(p, uniform) {
  let rest = uniform.next();
  for (let id = 0; id < p.length; id++) {
    rest -= p[id];
    if (rest < 0) return id;
  }
  return largestOf(p); // rounding left something of 1
}
