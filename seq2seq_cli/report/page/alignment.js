// Where a model looked while it translated one sentence: words that light up, and the matrix beside them.
//
// alignmentOf(view) gives an element to be put into a page styled by page.css. `view` is what
// seq2seq_cli/report/views.py writes: { run, text, source: [word], target: [word], heads: [head] }, `</s>` last on both
// sides; head = { weights: [row a target word][a source word], where not all is seen: windows: [[[first, last column]]], and
// of a local mechanism: centres: [column], radius: pieces }. A model without attention has no heads.
//
// alignmentOf(view, more) lets layer and head be chosen where there are several, and the self-attention of encoder and decoder
// where there is such a thing: more = { layers, ask }. `layers` says how many heads each layer has, of each of ROLES below:
// { cross_attention: [heads], ..., shown: the number, from 1, of the layer that view.heads are of }; undefined where nobody
// knows. `ask()` promises their weights, { cross_attention: [layer], ... }, layer = { mean: head, heads: [weights] }.
//
// Where the run has a memory, view.origins says where each target word came from: { share: of its probability, examples:
// [{ source, target: [word], word: which of them came next, weight }] }.
//
// view.back, if there is such a thing, says where its states looked in the sentences before: [{ side: "encoder" or "decoder",
// source, target, heads }], in which a column "[-2]" is a whole sentence, the columns behind it are its words, and the last
// column is what was kept of the state.
//
// Text becomes text nodes only, so nothing in it is ever markup.
"use strict";

const alignmentOf = (() => {
  const TOLD = 4; // words named in the line below; the rest is in the matrix
  const HINT = "Point at a word, or move to it with Tab and the arrow keys, to see where attention lay.";
  const SIDES = ["source", "target"];
  const other = (side) => (side === "source" ? "target" : "source");
  const percent = (weight) => (weight === null ? "?" : `${Math.round(100 * weight)}%`);

  const element = (name, className, ...children) => {
    const made = document.createElement(name);
    if (className) made.className = className;
    made.append(...children);
    return made;
  };

  // A word reads in its own direction, whatever surrounds it.
  const wordText = (word) => element("span", "word-text", word);

  // Where a target word came from.
  function originOf(word, { share, examples }) {
    const shown = examples.map(({ source, target, word: at, weight }) => {
      const words = target.slice(0, -1).flatMap((text, index) => [index ? " " : "", index === at ? element("mark", "", text) : text]);
      const end = at === target.length - 1 ? [" ", element("mark", "", target[at])] : [];
      const [from, to] = [element("bdi", "example-source", source), element("bdi", "example-target", ...words, ...end)];
      return element("li", "", from, to, element("span", "quiet", percent(weight)));
    });
    const told = element("p", "", "“", element("bdi", "", word), `”: ${percent(share)} of its probability from the memory. Nearest there:`);
    return [told, element("ul", "", ...shown)];
  }

  function plainLine(words, label) {
    const line = element("div", "words", ...words.map((word) => element("span", "word", wordText(word))));
    line.dir = "auto";
    line.setAttribute("role", "group");
    line.setAttribute("aria-label", label);
    return line;
  }

  const CROSS = "cross_attention";
  // What each attention of a model is called, which words look at which, and where a word's window lies.
  const around = (place, radius) => `lies around source word ${place} (p_t), ${radius} pieces to each side (D)`;
  const within = (words, side) => ({
    wordsOf: (view) => ({ source: words(view), target: words(view) }),
    titles: { source: `${side} words looked at`, target: `${side} words that look` },
    rows: `a row a ${side.toLowerCase()} word that looks, a column a ${side.toLowerCase()} word looked at`,
  });
  const ROLES = {
    [CROSS]: {
      name: "attention",
      option: "from target to source",
      wordsOf: (view) => view,
      titles: { source: "Source words", target: "Target words" },
      rows: "a row a target word, a column a source word",
      window: around,
    },
    self_attention: {
      name: "self-attention",
      option: "within the source (self)",
      ...within((view) => view.source, "Source"),
      window: around,
    },
    masked_self_attention: {
      name: "masked self-attention",
      option: "within the target so far (masked self)",
      // What the decoder reads: it begins with <s>, and </s> is never read.
      ...within((view) => ["<s>", ...view.target.slice(0, -1)], "Target"),
      window: (place, radius) => `reaches ${radius} pieces back (D)`,
    },
  };
  const capital = (text) => text && `${text[0].toUpperCase()}${text.slice(1)}`;
  const picks = new Map(); // of each run, so that the next sentence is shown in the same way

  function alignmentOf(view, more) {
    const own = ownOf(view, more);
    return view.back?.length ? element("div", "", own, ...view.back.map((back) => backOf(view, back))) : own;
  }

  // Where the states of one side looked in the sentences before.
  function backOf(view, { side, source, target, heads }) {
    const looks = side === "encoder" ? "Source words that look" : "Target words that look";
    const titles = { source: "Sentences before, and their words", target: looks };
    const caption = `The sentences before, as the ${side} saw them. Weights in percent: [-1] is the nearest sentence, the words behind `
      + "it share its weight; [kept] is what was kept of the word's own state.";
    const root = element("div", "alignment");
    root.setAttribute("role", "group");
    root.setAttribute("aria-label", `The sentences before, as the ${side} of ${view.run} saw them`);
    return interactive(root, { source, target }, { titles }, heads[0], caption, null).element;
  }

  function ownOf(view, more) {
    const usual = { kind: CROSS, layer: more?.layers?.shown, head: 0 }; // layers are counted from 1, head 0 is the mean of all
    const layers = more?.layers;
    const isSeveral = (kind) => layers[kind].length > (kind === CROSS ? 1 : 0) || layers[kind].some((heads) => heads);
    const several = layers && Object.keys(ROLES).some(isSeveral);
    return several ? chooserOf(view, layers, more.ask, usual) : shownOf(view, CROSS, view.heads[0], "", null).element;
  }

  function shownOf(view, kind, head, name, place) {
    const root = element("div", "alignment");
    root.setAttribute("role", "group");
    root.setAttribute("aria-label", `${capital(ROLES[kind].name)} of ${view.run}`);
    const { titles, rows, wordsOf } = ROLES[kind];
    const words = wordsOf(view);
    if (!head) {
      const text = element("div", "alignment-words");
      for (const side of SIDES) text.append(element("p", "side", titles[side]), plainLine(words[side], titles[side]));
      text.append(element("p", "told", "No attention: every target word is made from one summary of the whole source."));
      root.append(text);
      if (view.origins) {
        const all = view.origins.flatMap((origin, at) => originOf(view.target[at], origin));
        root.append(element("details", "examples", element("summary", "", "Where each word came from"), ...all));
      }
      return { element: root, chosen: () => place };
    }
    const caption = `${name}Weights in percent; ${rows}.`;
    const origins = kind === CROSS ? view.origins : undefined;
    return interactive(root, words, ROLES[kind], { ...head, origins }, caption, place);
  }

  // The alignment below the controls that choose which attention it shows.
  function chooserOf(view, layers, ask, usual) {
    const isUsual = (pick) => Object.keys(usual).every((name) => pick[name] === usual[name]);
    let pick = picks.get(view.run) ?? usual;
    let [root, shown] = [{ element: element("div"), chosen: () => null }, {}];
    const controls = ["Attention", "Layer", "Head"].map((title) => {
      const select = element("select");
      select.name = title.toLowerCase();
      return { select, label: element("label", "", element("span", "", title), " ", select) };
    });
    const [kinds, layer, head] = controls.map(({ select }) => select);
    const problem = element("p", "told");
    problem.setAttribute("role", "alert");
    const bar = element("div", "attention-choice screen", ...controls.map(({ label }) => label));
    bar.setAttribute("role", "group");
    bar.setAttribute("aria-label", "Which attention is shown");
    const whole = element("div", "", bar, problem, root.element);

    const optionOf = (value, text) => {
      const option = element("option", "", text);
      option.value = value;
      return option;
    };

    function offer() {
      const heads = layers[pick.kind][pick.layer - 1] ?? 0;
      const offered = Object.entries(ROLES).filter(([kind]) => kind === CROSS || layers[kind].length);
      kinds.replaceChildren(...offered.map(([kind, { option }]) => optionOf(kind, option)));
      layer.replaceChildren(...layers[pick.kind].map((_, at) => {
        const isUsualOne = pick.kind === CROSS && at + 1 === usual.layer;
        return optionOf(at + 1, `${at + 1}${isUsualOne ? " (default)" : at ? "" : " (bottom)"}`);
      }));
      const each = Array.from({ length: heads }, (_, at) => optionOf(at + 1, String(at + 1)));
      head.replaceChildren(optionOf(0, `mean of ${heads}`), ...each);
      for (const { select, label } of controls) label.hidden = select.options.length < 2;
      [kinds.value, layer.value, head.value] = [pick.kind, pick.layer, pick.head];
    }

    async function show() {
      const wanted = pick;
      let found = view.heads[0];
      offer();
      problem.textContent = "";
      if (!isUsual(wanted)) {
        whole.setAttribute("aria-busy", "true");
        try {
          found = headOf(await ask(), wanted);
        } catch (error) {
          if (wanted === pick) refuse(error.message);
          return;
        }
        if (wanted !== pick) return; // a later choice has taken its place
      }
      whole.removeAttribute("aria-busy");
      const place = wanted.kind === shown.kind ? root.chosen() : null;
      const again = shownOf(view, wanted.kind, found, nameOf(wanted), place);
      root.element.replaceWith(again.element);
      [root, shown] = [again, wanted];
    }

    function refuse(message) {
      choose(usual);
      problem.textContent = message;
    }

    function choose(wanted) {
      pick = wanted;
      picks.set(view.run, pick);
      show();
    }

    // What is shown, in words: on paper there are no controls.
    function nameOf({ kind, layer: number, head: one }) {
      const heads = layers[kind][number - 1];
      const parts = kind === CROSS ? [] : [ROLES[kind].name];
      if (layers[kind].length > 1) parts.push(`layer ${number} of ${layers[kind].length}`);
      if (heads) parts.push(one ? `head ${one} of ${heads}` : `mean of ${heads} heads`);
      return parts.length ? `${capital(parts.join(", "))}. ` : "";
    }

    const headOf = (told, wanted) => {
      const { mean, heads } = told[wanted.kind][wanted.layer - 1];
      return wanted.head ? { ...mean, weights: heads[wanted.head - 1] } : mean;
    };

    bar.addEventListener("change", (event) => {
      event.stopPropagation(); // whoever shows the alignment listens to other controls
      if (event.target === kinds) {
        const number = kinds.value === CROSS ? usual.layer : layers[kinds.value].length;
        choose({ kind: kinds.value, layer: number, head: 0 });
      } else {
        const heads = layers[pick.kind][layer.value - 1] ?? 0;
        choose({ kind: pick.kind, layer: Number(layer.value), head: Math.min(heads, Number(head.value)) });
      }
    });
    show();
    return whole;
  }

  function interactive(root, words, { titles, window }, head, description, place) {
    const weightOf = (target, source) => head.weights[target][source];
    const isSeen = (target, source) =>
      !head.windows || head.windows[target].some(([first, last]) => first <= source && source <= last);
    const lines = { source: lineOf("source"), target: lineOf("target") };
    const told = element("p", "told");
    told.setAttribute("role", "status");
    const examples = element("div", "examples");
    examples.setAttribute("role", "region");
    examples.setAttribute("aria-label", "Where the word came from");
    const matrix = matrixOf();
    let chosen = null; // stays; what the pointer is over is shown only as long as it is there

    function lineOf(side) {
      const buttons = words[side].map((word, index) => {
        const button = element("button", "word", wordText(word), element("span", "word-weight"));
        button.type = "button";
        button.dataset.side = side;
        button.dataset.index = index;
        button.tabIndex = index ? -1 : 0;
        button.setAttribute("aria-pressed", "false");
        return button;
      });
      const bar = element("div", "words", ...buttons);
      bar.dir = "auto";
      bar.setAttribute("role", "toolbar");
      bar.setAttribute("aria-label", `${titles[side]}; arrow keys move between them`);
      return { bar, buttons };
    }

    function matrixOf() {
      const corner = element("td");
      const heads = words.source.map((word) => {
        const cell = element("th", "", wordText(word));
        cell.scope = "col";
        return cell;
      });
      const rows = words.target.map((word, target) => {
        const label = element("th", "", wordText(word));
        label.scope = "row";
        const cells = words.source.map((_, source) => cellOf(target, source));
        return { label, cells, row: element("tr", "", label, ...cells) };
      });
      const centred = head.centres ? " Dotted: outside the window; underlined: its centre." : " Dotted: cannot be seen.";
      const key = head.windows ? centred : "";
      const caption = element("caption", "", `${description}${key}`);
      const body = element("tbody", "", ...rows.map(({ row }) => row));
      const table = element("table", "matrix", caption, element("thead", "", element("tr", "", corner, ...heads)), body);
      const frame = element("div", "matrix-frame", table);
      frame.tabIndex = 0; // so that keys can scroll it
      frame.setAttribute("role", "region");
      frame.setAttribute("aria-label", "Attention matrix");
      return { frame, table, heads, rows };
    }

    function cellOf(target, source) {
      const weight = weightOf(target, source);
      const cell = element("td");
      cell.dataset.target = target;
      cell.dataset.source = source;
      if (!isSeen(target, source)) {
        cell.classList.add("unseen");
        return cell;
      }
      const rounded = Math.round(100 * weight);
      cell.append(weight === null ? "?" : rounded ? String(rounded) : "·");
      cell.style.setProperty("--weight", weight ?? 0);
      if (head.centres && Math.round(head.centres[target]) === source) cell.classList.add("centre");
      return cell;
    }

    // The weights on the other side of a word, as [index, weight], of those that it sees.
    function weightsOf({ side, index }) {
      const along = words[other(side)].map((_, at) => (side === "target" ? [index, at] : [at, index]));
      return along.map((pair, at) => ({ at, seen: isSeen(...pair), weight: weightOf(...pair) }));
    }

    function show(shown) {
      root.classList.toggle("is-lit", shown !== null);
      for (const side of SIDES) {
        for (const button of lines[side].buttons) {
          button.classList.remove("is-current", "is-lit", "in-window", "is-centre");
          button.style.removeProperty("--weight");
          button.lastChild.textContent = "";
        }
      }
      matrix.heads.forEach((cell, at) => cell.classList.toggle("is-current", isCurrent("source", at)));
      matrix.rows.forEach(({ row, cells }, target) => {
        row.classList.toggle("is-current", isCurrent("target", target));
        cells.forEach((cell, source) => cell.classList.toggle("is-current-column", isCurrent("source", source)));
      });
      told.replaceChildren(...(shown === null ? [HINT] : inWords(shown)));
      const isOfMemory = head.origins && shown !== null && shown.side === "target";
      examples.replaceChildren(...(isOfMemory ? originOf(words.target[shown.index], head.origins[shown.index]) : []));
      if (shown === null) return;
      lines[shown.side].buttons[shown.index].classList.add("is-current");
      for (const { at, seen, weight } of weightsOf(shown)) light(lines[other(shown.side)].buttons[at], seen, weight);
      if (shown.side === "target" && head.centres) {
        lines.source.buttons[Math.round(head.centres[shown.index])]?.classList.add("is-centre");
      }

      function isCurrent(side, index) {
        return shown !== null && ((shown.side === side && shown.index === index) || shown[side] === index);
      }
    }

    function light(button, seen, weight) {
      button.style.setProperty("--weight", seen ? (weight ?? 0) : 0);
      button.classList.add("is-lit");
      button.lastChild.textContent = seen ? percent(weight) : "";
      if (head.windows && seen) button.classList.add("in-window");
    }

    function inWords(shown) {
      const { side, index } = shown;
      const strongest = weightsOf(shown).filter(({ seen, weight }) => seen && weight !== null);
      strongest.sort((one, two) => two.weight - one.weight);
      const quoted = (word) => ["“", element("bdi", "", word), "”"];
      const parts = strongest
        .slice(0, TOLD)
        .flatMap(({ at, weight }, place) => [place ? ", " : "", ...quoted(words[other(side)][at]), ` ${percent(weight)}`]);
      const verb = side === "target" ? " looks at " : " is looked at by ";
      return [...quoted(words[side][index]), verb, ...parts, ".", side === "target" ? windowInWords(index) : ""];
    }

    function windowInWords(target) {
      if (!head.centres) return "";
      const centre = head.centres[target];
      const place = centre === null ? "?" : (centre + 1).toFixed(1);
      return ` Its window ${window(place, head.radius)}.`;
    }

    function choose(place, focus) {
      chosen = place;
      for (const side of SIDES) {
        lines[side].buttons.forEach((button, index) => {
          const isChosen = place !== null && place.side === side && place.index === index;
          button.setAttribute("aria-pressed", String(isChosen));
          if (place !== null && place.side === side) button.tabIndex = isChosen ? 0 : -1;
          if (isChosen && focus) button.focus();
        });
      }
      show(place);
    }

    const placeOf = (node) => {
      const button = node.closest?.("button.word");
      if (button) return { side: button.dataset.side, index: Number(button.dataset.index) };
      const cell = node.closest?.("td[data-target]");
      return cell && { side: "target", index: Number(cell.dataset.target), source: Number(cell.dataset.source) };
    };

    function strongestOf(place) {
      const weights = weightsOf(place);
      return weights.reduce((best, one) => (one.seen && one.weight > weights[best].weight ? one.at : best), 0);
    }

    function moved(place, key, rightToLeft) {
      const last = words[place.side].length - 1;
      const to = (index) => ({ side: place.side, index: Math.min(last, Math.max(0, index)) });
      const forward = rightToLeft ? -1 : 1;
      if (key === "ArrowRight") return to(place.index + forward);
      if (key === "ArrowLeft") return to(place.index - forward);
      if (key === "Home") return to(0);
      if (key === "End") return to(last);
      const towards = { ArrowUp: "source", ArrowDown: "target" }[key];
      return towards && towards !== place.side ? { side: towards, index: strongestOf(place) } : null;
    }

    root.addEventListener("pointerover", (event) => {
      const place = placeOf(event.target);
      if (place) show(place);
    });
    root.addEventListener("pointerout", (event) => {
      if (placeOf(event.target)) show(chosen);
    });
    root.addEventListener("focusin", (event) => {
      const place = placeOf(event.target);
      if (place) choose(place, false);
    });
    root.addEventListener("click", (event) => {
      const place = placeOf(event.target);
      if (place) choose(place, event.target.closest("button") !== null);
    });
    root.addEventListener("keydown", (event) => {
      if (event.key === "Escape") choose(null, false);
      const bar = event.target.closest?.(".words");
      if (!bar || event.ctrlKey || event.altKey || event.metaKey) return;
      const place = moved(placeOf(event.target), event.key, getComputedStyle(bar).direction === "rtl");
      if (!place) return;
      event.preventDefault();
      choose(place, true);
    });

    const text = element("div", "alignment-words");
    for (const side of SIDES) text.append(element("p", "side", titles[side]), lines[side].bar);
    text.append(told);
    if (head.origins) text.append(examples);
    root.append(text, matrix.frame);
    choose(place, false);
    return { element: root, chosen: () => chosen };
  }

  return alignmentOf;
})();
