// Asks the server for translations and shows them: best first, the chosen one with the words its model looked at.
// Text becomes text nodes only, so nothing in it is ever markup.
"use strict";

(() => {
  const byId = (id) => document.getElementById(id);
  const form = byId("question");
  const languages = new Map(); // of a run's translations
  const layers = new Map(); // how many heads each layer of a run has
  let remember = false; // whether a run has a memory
  let underWay = null;

  const element = (name, className, ...children) => {
    const made = document.createElement(name);
    if (className) made.className = className;
    made.append(...children);
    return made;
  };

  const DOUBTFUL = 0.5; // a word with a smaller chance of being right is marked
  const percent = (share) => `${Math.round(100 * share)}%`;

  function sureness(confidence) {
    if (!confidence) return [];
    const sure = element("span", "sure", percent(confidence.line));
    sure.title = "how many of its words a reference is expected to have";
    return [sure];
  }

  const counted = (number, name) => `${number} ${name}${number === 1 ? "" : "s"}`;

  // A run's languages are whatever its files were called.
  function inLanguage(node, name) {
    node.dir = "auto";
    if (/^[a-z]{2,3}(-|$)/i.test(name ?? "")) node.lang = name;
    return node;
  }

  function say(status, problem = "") {
    byId("status").textContent = status;
    byId("problem").textContent = problem;
    byId("problem").hidden = !problem;
  }

  async function ask(path, options) {
    let response;
    try {
      response = await fetch(path, options);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Error("The server does not answer. Is it still running?");
    }
    let told;
    try {
      told = await response.json();
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Error(`The answer cannot be read: it is no JSON, or was cut off (status ${response.status}).`);
    }
    if (response.ok) return told;
    throw new Error(told.where ? `${told.where}: ${told.error}` : told.error);
  }

  function question() {
    const runs = [...form.querySelectorAll("[name=run]:checked")].map((box) => box.value);
    const lines = byId("text").value.split("\n");
    const whole = byId("document").checked;
    const asked = {
      sentences: whole ? parted(lines) : lines.filter((line) => line.trim()),
      nbest: byId("nbest").valueAsNumber,
      alignment: true,
      confidence: true, // of runs that can tell
    };
    if (remember) asked.examples = true;
    if (whole) asked.document = true;
    if (runs.length) asked.runs = runs;
    if (byId("beam").value) {
      asked.beam = byId("beam").valueAsNumber;
      asked.nbest = Math.min(asked.nbest, asked.beam); // a beam finds no more translations than it is wide
    }
    return asked;
  }

  // The sentences of a text, and an empty one between two documents.
  function parted(lines) {
    const sentences = lines.flatMap((line) => (line.trim() ? sentencesOf(line) : [""]));
    return sentences.filter((sentence, index) => sentence || (sentences[index - 1] && sentences.slice(index).some(Boolean)));
  }

  // The sentences of a paragraph, as the browser parts them.
  function sentencesOf(line) {
    if (!Intl.Segmenter) return [line];
    const parts = [...new Intl.Segmenter(undefined, { granularity: "sentence" }).segment(line)];
    return parts.map(({ segment }) => segment.trim()).filter(Boolean);
  }

  // With a single run there is nothing to choose from.
  function whatIsMissing(asked) {
    if (!asked.sentences.length) return "There is no sentence to translate.";
    return asked.runs || !form.querySelector("[name=run]") ? "" : "Choose a run.";
  }

  async function translate() {
    const asked = question();
    underWay?.abort();
    const missing = whatIsMissing(asked);
    if (missing) {
      byId("results").replaceChildren();
      say("", missing);
      return;
    }
    const own = (underWay = new AbortController());
    const began = performance.now();
    say("Translating …");
    byId("results").setAttribute("aria-busy", "true");
    try {
      const { answers } = await ask("translate", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(asked),
        signal: own.signal,
      });
      show(asked, answers);
      const seconds = ((performance.now() - began) / 1000).toFixed(2);
      say(`${counted(asked.sentences.filter(Boolean).length, "sentence")}, ${counted(answers.length, "run")}, ${seconds} s`);
    } catch (error) {
      if (error.name !== "AbortError") say("", error.message); // else a later question has taken its place
    } finally {
      if (own === underWay) byId("results").removeAttribute("aria-busy");
    }
  }

  function show(asked, answers) {
    const sections = asked.sentences.map((sentence, index) => {
      if (!sentence) return ""; // the end of a document
      const heading = inLanguage(element("h2", "source", sentence), "");
      const columns = answers.map((answer) => answerOf(answer.run, answer.sentences[index], asked, index));
      return element("section", "", heading, element("div", `answers${columns.length > 1 ? " several" : ""}`, ...columns));
    });
    byId("results").replaceChildren(...sections);
  }

  // Where all layers and heads looked in the translations of a sentence: asked for once, when first somebody wants to see it.
  // Of a document the sentences before it are asked for once more.
  function layersOf(run, index, asked) {
    let told = null;
    const sentences = asked.sentences.slice(asked.document ? 0 : index, index + 1);
    const question = { ...asked, sentences, runs: [run], layers: true };
    return async (text) => {
      told ??= ask("translate", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(question),
      });
      const { answers } = await told.catch((error) => {
        told = null; // the next try asks anew
        throw error;
      });
      const { translations, self_attention } = answers[0].sentences.at(-1);
      const found = translations.find((each) => each.text === text);
      if (!found) throw new Error("The server has found other translations this time. Translate again.");
      return { ...found.alignment.layers, self_attention };
    };
  }

  // The text, with its doubtful words marked. They come in their order; blanks are not among them.
  function withDoubts(text, confidence) {
    const parts = [];
    let from = 0;
    for (const { text: word, chance } of confidence?.words ?? []) {
      const at = text.indexOf(word, from);
      if (at < 0) return [text];
      const end = at + word.length;
      if (chance < DOUBTFUL) {
        const mark = element("span", "doubtful", word);
        mark.title = `${percent(chance)} of such words are right`;
        parts.push(text.slice(from, at), mark);
      } else parts.push(text.slice(from, end));
      from = end;
    }
    parts.push(text.slice(from));
    return parts;
  }

  function answerOf(run, { translations, warning }, asked, index) {
    const askLayers = layersOf(run, index, asked);
    const place = element("div");
    const buttons = translations.map((each, index) => {
      const words = each.text ? withDoubts(each.text, each.confidence) : ["(nothing)"];
      const text = inLanguage(element("span", "translation", ...words), languages.get(run));
      const score = element("span", "score", each.score.toFixed(3));
      score.title = "log p / length^alpha; nearer to zero is likelier";
      const button = element("button", "", text, ...sureness(each.confidence), score);
      button.type = "button";
      button.addEventListener("click", () => choose(index));
      return button;
    });

    function choose(chosen) {
      buttons.forEach((button, index) => button.setAttribute("aria-pressed", String(index === chosen)));
      const { text, alignment } = translations[chosen];
      place.replaceChildren(alignmentOf(alignment, { layers: layers.get(run), ask: () => askLayers(text) }));
    }

    choose(0);
    const list = element("ol", "nbest", ...buttons.map((button) => element("li", "", button)));
    const notes = warning ? [element("p", "quiet", warning)] : [];
    return element("article", "answer", element("h3", "", run), list, ...notes, place);
  }

  function describe({ runs, limits }) {
    byId("nbest").max = byId("beam").max = limits.beam;
    for (const run of runs) {
      languages.set(run.name, run.tgt);
      layers.set(run.name, run.layers);
      remember ||= Boolean(run.memory);
    }
    byId("paragraphs").hidden = runs.every((run) => run.context === "none");
    const pairs = new Set(runs.filter((run) => run.src).map((run) => `${run.src} to ${run.tgt}`));
    byId("languages").textContent = pairs.size ? `(${[...pairs].join(", ")})` : "";
    if (runs.length < 2) return;
    for (const run of runs) {
      const box = element("input");
      box.type = "checkbox";
      box.name = "run";
      box.value = run.name;
      box.checked = true;
      byId("runs").append(element("label", "", box, element("span", "", `${run.name} (${run.system})`)));
    }
    byId("runs").hidden = false;
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    translate();
  });
  byId("text").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  ask("runs").then(describe, (error) => say("", error.message));
})();
