// The sentences of the page: choosing one, and what each run made of it. Needs alignment.js.
//
// The text of corpora arrives as JSON and is put into the page as text nodes only.
"use strict";

for (const point of document.querySelectorAll('.chart [aria-roledescription="point"]')) {
  const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
  title.textContent = point.getAttribute("aria-label");
  point.append(title);
}

if (document.getElementById("data")) {
  const data = JSON.parse(document.getElementById("data").textContent);
  const [search, number, order, previous, next, list, place, article] = [
    "search", "number", "order", "previous", "next", "list", "place", "sentence",
  ].map((id) => document.getElementById(id));
  const several = data.runs.length > 1;
  let shown = data.sentences; // those that the search leaves, in the chosen order
  let current = data.sentences[0];
  let run = Math.max(0, current.runs.findIndex(({ view }) => view.heads.length));

  const element = (name, ...children) => {
    const made = document.createElement(name);
    made.append(...children);
    return made;
  };

  function textOf(name, text, language) {
    const made = element(name, text);
    made.dir = "auto";
    if (language) made.lang = language;
    return made;
  }

  const spreadOf = (sentence, metric) => {
    const scores = sentence.runs.map((one) => one[metric]);
    return several ? Math.max(...scores) - Math.min(...scores) : -scores[0];
  };
  const ORDERS = {
    number: (one, two) => one.number - two.number,
    longest: (one, two) => two.source_words - one.source_words,
    shortest: (one, two) => one.source_words - two.source_words,
    bleu: (one, two) => spreadOf(two, "bleu") - spreadOf(one, "bleu"),
    chrf: (one, two) => spreadOf(two, "chrf") - spreadOf(one, "chrf"),
  };

  function label(sentence) {
    const metric = order.value === "chrf" ? "chrf" : "bleu";
    const score = Math.abs(spreadOf(sentence, metric)).toFixed(1);
    const name = metric === "chrf" ? "chrF" : "BLEU";
    const told = several ? `${name} differs by ${score}` : `${name} ${score}`;
    // Isolated, so that a line that runs from right to left leaves the numbers in their places.
    return `${sentence.number} · ${sentence.source_words} words · ${told} · \u2068${sentence.source}\u2069`;
  }

  const holds = (sentence, wanted) =>
    [sentence.source, sentence.reference, ...sentence.runs.map(({ view }) => view.text)].some((text) =>
      text.toLocaleLowerCase().includes(wanted),
    );

  function showList() {
    const wanted = search.value.trim().toLocaleLowerCase();
    shown = data.sentences.filter((sentence) => holds(sentence, wanted)).sort(ORDERS[order.value]);
    const options = shown.map((sentence) => {
      const option = element("option", label(sentence));
      option.value = sentence.number;
      return option;
    });
    list.replaceChildren(...options);
    if (shown.length && !shown.includes(current)) current = shown[0];
    showSentence();
  }

  function showSentence() {
    const at = shown.indexOf(current);
    place.textContent = at < 0
      ? "No sentence holds that."
      : `Sentence ${at + 1} of ${shown.length}; line ${current.number} of the test set, ${current.source_words} words.`;
    list.selectedIndex = at;
    number.value = current.number;
    previous.disabled = at <= 0;
    next.disabled = at < 0 || at === shown.length - 1;
    article.replaceChildren(pairOf(current), translationsOf(current), switchOf(current), element("div"));
    showAlignment();
  }

  function showAlignment() {
    const heading = element("h3", "Attention of ", element("bdi", data.runs[run]));
    const { view } = current.runs[run];
    const more = view.layers && { layers: data.layers[run], ask: () => unpacked(view.layers) };
    const show = (back) => article.lastChild.replaceChildren(heading, alignmentOf({ ...view, back }, more));
    show();
    if (view.back) unpacked(view.back).then((back) => view === current.runs[run].view && show(back));
  }

  // All layers and heads of a sentence, or where it looked in those before: JSON, compressed, as they are by far the most of the
  // page.
  async function unpacked(text) {
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return JSON.parse(await new Response(stream).text());
  }

  function pairOf(sentence) {
    const pair = element(
      "dl",
      element("dt", "Source"), textOf("dd", sentence.source, data.source_language),
      element("dt", "Reference"), textOf("dd", sentence.reference, data.target_language),
    );
    pair.className = "pair";
    return pair;
  }

  const MARKS = { same: "span", added: "ins", missing: "del" };

  function translationsOf(sentence) {
    const heads = ["run", "BLEU", "chrF", "translation; underlined: not in the reference; struck out: only there"];
    const headRow = element("tr", ...heads.map((head, at) => {
      const cell = element("th", head);
      cell.scope = "col";
      if (at === 1 || at === 2) cell.className = "score";
      return cell;
    }));
    const rows = sentence.runs.map((one, at) => {
      const name = element("th", element("bdi", data.runs[at]));
      name.scope = "row";
      const scores = [["BLEU", one.bleu], ["chrF", one.chrf]].map(([metric, value]) => {
        const cell = element("td", value.toFixed(1));
        cell.className = "score";
        cell.dataset.metric = metric;
        return cell;
      });
      const marked = textOf("td", "", data.target_language);
      marked.append(...one.marks.flatMap(({ kind, text }) => {
        const words = text.trimEnd();
        return [element(MARKS[kind], words), text.slice(words.length)];
      }));
      return element("tr", name, ...scores, marked);
    });
    const table = element("table", element("thead", headRow), element("tbody", ...rows));
    table.className = "translations";
    return table;
  }

  function switchOf() {
    const radios = data.runs.map((name, at) => {
      const radio = element("input");
      Object.assign(radio, { type: "radio", name: "run", value: at, checked: at === run });
      return element("label", radio, " ", element("bdi", name));
    });
    const set = element("fieldset", element("legend", "Show the attention of"), ...radios);
    set.className = "screen";
    set.hidden = !several;
    return set;
  }

  function step(by) {
    const at = shown.indexOf(current) + by;
    if (!shown[at]) return;
    current = shown[at];
    showSentence();
  }

  article.addEventListener("change", (event) => {
    run = Number(event.target.value);
    showAlignment();
  });
  list.addEventListener("change", () => {
    current = shown[list.selectedIndex];
    showSentence();
  });
  previous.addEventListener("click", () => step(-1));
  next.addEventListener("click", () => step(1));
  order.addEventListener("change", () => {
    showList();
    list.selectedIndex = 0;
    list.dispatchEvent(new Event("change"));
  });
  search.addEventListener("input", showList);
  number.addEventListener("change", () => {
    // Only some lines are in the page: the nearest of them.
    const wanted = Number(number.value);
    const distance = (sentence) => Math.abs(sentence.number - wanted);
    current = data.sentences.reduce((best, one) => (distance(one) < distance(best) ? one : best));
    search.value = "";
    showList();
  });
  document.getElementById("scriptless").hidden = true;
  document.getElementById("browser").hidden = false;
  showList();
}
