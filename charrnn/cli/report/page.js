"use strict";
// The coloured text: pointer, tap or arrow keys choose a character; its likeliest ones and the
// activity of a unit are shown. Everything is set as text, never as HTML.
for (const passage of document.querySelectorAll(".passage")) {
  const data = JSON.parse(passage.querySelector(".data").textContent);
  const text = passage.querySelector(".coloured");
  const detail = passage.querySelector(".detail");
  const chooser = passage.querySelector(".colour-by");
  const number = passage.querySelector(".unit");
  const glyphs = Array.from(text.children);
  const units = data.units;
  const values = units && Int8Array.from(atob(units.values), (c) => c.charCodeAt(0));
  let at = -1;
  let unit = -1;

  const activity = (t, u) => values[t * units.names.length + u] / 127;

  const element = (name, content, owner) => {
    const made = document.createElement(name);
    made.textContent = content;
    owner.append(made);
    return made;
  };

  const show = () => {
    detail.replaceChildren();
    const facts = document.createElement("div");
    const list = document.createElement("ol");
    detail.append(facts, list);
    if (at < 0) {
      element("p", "No character is chosen.", facts);
      return;
    }
    const bits = data.bits[at];
    const shown = glyphs[at].textContent.trim() || "␣";
    element("p", "Character: " + shown, facts);
    element("p", bits === null ? "the first: not predicted" : bits.toFixed(2) + " bits", facts);
    const chosen = unit >= 0 ? unit : number ? Number(number.value) : -1;
    if (units && chosen >= 0) {
      const value = activity(at, chosen).toFixed(2);
      element("p", units.names[chosen] + ": " + value, facts).className = "activity";
    }
    data.best[at].forEach((symbol, rank) => {
      const item = element("li", "", list);
      element("b", data.symbols[symbol], item);
      element("span", (100 * data.p[at][rank]).toFixed(1) + "%", item);
      element("i", "", item).style.width = 100 * data.p[at][rank] + "%";
    });
  };

  const choose = (t) => {
    if (t < 0 || t >= glyphs.length || t === at) return;
    if (at >= 0) glyphs[at].classList.remove("at");
    at = t;
    glyphs[at].classList.add("at");
    show();
  };

  const colour = () => {
    glyphs.forEach((glyph, t) => {
      if (unit < 0) {
        glyph.style.background = "";
        return;
      }
      const value = activity(t, unit);
      const sign = value < 0 ? "--negative" : "--positive";
      const alpha = (0.75 * Math.abs(value)).toFixed(2);
      glyph.style.background = "rgb(var(" + sign + ") / " + alpha + ")";
    });
    passage.querySelector(".legend").hidden = unit >= 0;
    show();
  };

  const option = (value, label) => {
    element("option", label, chooser).value = value;
  };
  if (units) {
    units.followed.forEach(([name, u]) => option(String(u) + " " + name, name + ": " + units.names[u]));
    option("unit", "the unit below");
    number.addEventListener("input", () => {
      const wanted = Math.trunc(Number(number.value));
      if (!(wanted >= 0 && wanted < units.names.length) || number.value === "") return;
      unit = wanted;
      chooser.value = "unit";
      colour();
    });
  }
  chooser.addEventListener("change", () => {
    if (chooser.value === "bits") unit = -1;
    else if (chooser.value === "unit") unit = Number(number.value);
    else unit = parseInt(chooser.value, 10);
    if (unit >= 0) number.value = unit;
    colour();
  });
  const under = (event) => glyphs.indexOf(event.target.closest(".coloured > span"));
  text.addEventListener("pointerover", (event) => choose(under(event)));
  text.addEventListener("click", (event) => choose(under(event)));
  text.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    choose(Math.max(0, at + step));
    glyphs[at].scrollIntoView({ block: "nearest" });
  });

  for (const glyph of glyphs) glyph.removeAttribute("title");
  passage.classList.add("scripted");
  passage.querySelector(".controls").hidden = false;
  passage.querySelector(".without-script").hidden = true;
  detail.hidden = false;
  show();
}
