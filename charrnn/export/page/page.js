
// The page: settings, the text as it grows, the most probable next characters. Settings can come in
// the address: page.html#prompt=To%20be&temperature=0.5&seed=3&length=200&write

const SHOWN = 10;
const CHARACTERS_AT_ONCE = 20;

const element = (id) => document.getElementById(id);
const model = JSON.parse(element("model").textContent);
const network = new Network(model);
const idOf = new Map(model.characters.map((character, id) => [character, id]));

const session = {
  logits: null, // of the next character
  uniform: null,
  decoder: null, // of bytes that are not yet a whole character
  left: 0, // characters to write
  timer: null,
};

// The characters of the model in a typed text; of a model of bytes, one for each byte of its UTF-8.
function charactersOf(text) {
  if (model.as_bytes) {
    return Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte));
  }
  return Array.from(model.normalise ? text.normalize(model.normalise) : text);
}

function textOf(character) {
  if (!model.as_bytes) return character;
  return session.decoder.decode(Uint8Array.of(character.charCodeAt(0)), { stream: true });
}

function nameOf(character) {
  const code = character.codePointAt(0);
  if (character === "\n") return "↵";
  if (character === " ") return "␣";
  const hidden = code < 33 || (code > 126 && (code < 161 || model.as_bytes));
  const invisible = /[\p{C}\p{Z}\p{M}]/u.test(character);
  if (!hidden && !invisible) return character;
  const digits = code.toString(16).toUpperCase();
  return model.as_bytes ? `\\x${digits.padStart(2, "0")}` : `U+${digits.padStart(4, "0")}`;
}

function say(problem) {
  element("problem").textContent = problem;
  element("problem").hidden = problem === "";
}

function numberIn(id) {
  const field = element(id);
  const value = field.valueAsNumber;
  if (!(value >= Number(field.min) && value <= Number(field.max)) || !field.checkValidity()) {
    const name = document.querySelector(`label[for="${id}"]`).firstChild.textContent.trim();
    throw new RangeError(`${name} must be a number from ${field.min} to ${field.max}.`);
  }
  return value;
}

// Read the beginning of the text from the zero state. Without one, read what charrnn sample reads: a
// newline, or a space, or the first character.
function begin() {
  const typed = charactersOf(element("prompt").value);
  const unknown = Array.from(new Set(typed.filter((character) => !idOf.has(character))));
  if (unknown.length) {
    const names = unknown.slice(0, SHOWN).map(nameOf).join(" ");
    throw new RangeError(`The network has never read ${names}: please remove it from the text.`);
  }
  const silent = ["\n", " "].find((character) => idOf.has(character)) ?? model.characters[0];
  network.reset();
  session.uniform = new Uniform(numberIn("seed"));
  session.decoder = new TextDecoder();
  for (const character of typed.length ? typed : [silent]) {
    session.logits = network.step(idOf.get(character));
  }
  const given = document.createElement("span");
  given.className = "given";
  given.textContent = element("prompt").value;
  element("text").replaceChildren(given, document.createTextNode(""));
}

function showNext() {
  const p = probabilities(session.logits, 1);
  const best = Array.from(p.keys()).sort((a, b) => p[b] - p[a]).slice(0, SHOWN);
  const rows = best.map((id) => {
    const row = document.createElement("tr");
    const bar = document.createElement("div");
    bar.style.width = `${100 * p[id]}%`;
    for (const content of [nameOf(model.characters[id]), `${(100 * p[id]).toFixed(1)} %`, bar]) {
      const cell = document.createElement("td");
      cell.append(content);
      row.append(cell);
    }
    return row;
  });
  element("next").tBodies[0].replaceChildren(...rows);
  element("next").dataset.probabilities = JSON.stringify(Array.from(p)); // of all, by id
}

function writeSome(temperature) {
  const count = Math.min(CHARACTERS_AT_ONCE, session.left);
  let text = "";
  for (let i = 0; i < count; i++) {
    const id = draw(probabilities(session.logits, temperature), session.uniform);
    text += textOf(model.characters[id]);
    session.logits = network.step(id);
  }
  session.left -= count;
  element("text").lastChild.appendData(text);
  if (session.left) session.timer = setTimeout(attempt, 0, () => writeSome(temperature));
  else finish();
}

function start() {
  session.left = numberIn("length");
  const temperature = numberIn("temperature");
  element("stop").disabled = false;
  element("continue").disabled = true;
  writeSome(temperature);
}

function finish() {
  clearTimeout(session.timer);
  session.left = 0;
  element("stop").disabled = true;
  element("continue").disabled = session.logits === null;
  if (session.logits !== null) showNext();
}

function attempt(action) {
  try {
    action();
    if (!session.left) say("");
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    finish();
    say(error.message);
  }
}

function showTemperature() {
  element("shown-temperature").value = element("temperature").valueAsNumber.toFixed(2);
}

function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const id of ["prompt", "temperature", "length", "seed"]) {
    if (given.has(id)) element(id).value = given.get(id);
  }
  showTemperature();
  if (given.has("write")) write();
}

function write() {
  clearTimeout(session.timer);
  say("");
  attempt(() => {
    begin();
    start();
  });
}

element("settings").addEventListener("submit", (event) => {
  event.preventDefault();
  write();
});
element("continue").addEventListener("click", () => attempt(start));
element("stop").addEventListener("click", finish);
element("temperature").addEventListener("input", showTemperature);
window.addEventListener("hashchange", readAddress);
attempt(() => {
  begin();
  showNext();
});
readAddress();
