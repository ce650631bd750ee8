"use strict";
(() => {
  const PAGE = JSON.parse(document.getElementById("page").textContent);
  const trials = (PAGE.trials || []).map(row => Object.fromEntries(PAGE.columns.map((name, i) => [name, row[i]])));
  const firstOf = new Map();
  for (const trial of trials) if (trial.blocks) firstOf.set(trial.id, trial.blocks);
  const MANY = 1500; // points above which a canvas is drawn, not elements

  // Text only ever enters the page as text: nothing that came from a file is read as HTML.
  const element = (tag, text = "", attributes = {}) => {
    const made = document.createElement(tag);
    if (text !== "") made.textContent = text;
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  };
  const known = value => value !== null && value !== undefined;
  const percent = value => known(value) ? (100 * value).toFixed(2) + " %" : "—";
  const ms = value => !known(value) ? "—" : (value < 100 ? String(Number(value.toPrecision(3))) : value.toFixed(0)) + " ms";
  const millions = (value, digits) => known(value) ? (value / 1e6).toFixed(digits) + " M" : "—";
  const latency = trial => [trial.latency, ...(trial.also || [])].map(ms).join(" / ");
  const spread = trial => known(trial.low) && known(trial.high) ? ms(trial.low) + " to " + ms(trial.high) : "—";

  const SKIPS = { noskip: "no skip", pool: "pooling skip", identity: "identity skip" };
  const blockWords = text => {
    const tokens = text.split("_");
    const value = letter => (tokens.find(token => new RegExp("^" + letter + "[0-9]").test(token)) || "").slice(letter.length);
    const kind = tokens.includes("conv") ? "convolution" : value("e") === "1" ? "depthwise-separable" : "MBConv" + value("e");
    const parts = [value("r") + " × " + kind + " " + value("k") + "×" + value("k") + ", " + value("o") + " channels"];
    if (value("s") !== "11") parts.push("stride " + value("s")[0]);
    if (value("se")) parts.push("squeeze-and-excite " + value("se"));
    parts.push(SKIPS[tokens.find(token => token in SKIPS) || "identity"]);
    return parts.join(", ");
  };
  const blocksOf = trial => (trial.blocks || firstOf.get(trial.id) || "").split(" ").filter(Boolean).map(blockWords);

  // ---- what is under the pointer
  const card = document.getElementById("card");
  const showCard = (handler, event, item, value) => {
    if (!known(value)) { card.hidden = true; return; }
    card.replaceChildren(element("strong", known(value.id) ? value.id + (known(value.trial) ? ", trial " + value.trial : "") : value.name || value.layer || ""));
    const line = text => card.append(element("div", text));
    if (known(value.accuracy)) line(percent(value.accuracy) + " accurate");
    if (known(value.latency)) line(latency(value) + (known(value.low) ? " (" + spread(value) + ")" : ""));
    if (known(value.reward)) line("reward " + value.reward.toFixed(4));
    if (known(value.multiply_adds)) line(millions(value.multiply_adds, 0) + " multiply-adds, " + millions(value.parameters, 2) + " parameters");
    if (known(value.ms)) line(value.ms + " ms");
    if (known(value.run)) line(value.run);
    if (value.note) line(value.note);
    if (known(value.blocks)) {
      const list = element("ol");
      for (const words of blocksOf(value)) list.append(element("li", words));
      card.append(list);
    }
    card.hidden = false;
    const box = card.getBoundingClientRect();
    const right = event.clientX + 16 + box.width > window.innerWidth;
    card.style.left = Math.max(4, right ? event.clientX - box.width - 12 : event.clientX + 16) + "px";
    card.style.top = Math.max(4, Math.min(event.clientY + 12, window.innerHeight - box.height - 4)) + "px";
  };
  window.addEventListener("scroll", () => { card.hidden = true; }, { passive: true });

  // ---- charts
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const views = {};
  const coloured = value => {
    const theme = PAGE.themes[dark.matches ? "dark" : "light"];
    return JSON.parse(JSON.stringify(value).replace(/"@([a-z0-9]+)"/g, (all, name) => name in theme ? JSON.stringify(theme[name]) : all));
  };
  const draw = async place => {
    const name = place.dataset.chart;
    if (views[name]) views[name].finalize();
    const datasets = { trials, ...PAGE.data };
    if ("pinned" in datasets) datasets.pinned = pinnedRows();
    const used = JSON.stringify(PAGE.charts[name]);
    const spec = coloured(PAGE.charts[name]);
    spec.config = coloured(PAGE.config);
    spec.datasets = Object.fromEntries(Object.entries(datasets).filter(([key]) => used.includes('{"name":"' + key + '"}')));
    const options = {
      mode: "vega-lite", actions: false, ast: true, defaultStyle: false, logLevel: 1, // errors: an empty data set is none tooltip: false,
      renderer: name === "front" && trials.length > MANY ? "canvas" : "svg",
    };
    const found = await window.vegaEmbed(place, spec, options);
    views[name] = found.view;
    await found.view.tooltip(showCard).runAsync(); // Vega-Embed's merging of options loses functions
    if (name === "front") found.view.addEventListener("click", (event, item) => {
      const number = item && item.datum && item.datum.trial;
      if (known(number) && !event.shiftKey) pin(number);
    });
  };
  const places = [...document.querySelectorAll("[data-chart]")];
  const drawAll = async () => {
    for (const place of places) {
      await draw(place);
      if (place === places[0]) performance.mark("first-picture");
      document.documentElement.dataset.drawn = String(Object.keys(views).length);
      await new Promise(resolve => setTimeout(resolve)); // the page answers between two charts
    }
    performance.mark("all-pictures");
  };
  dark.addEventListener("change", drawAll);

  // ---- two candidates side by side
  let pins = [];
  const pinnedRows = () => pins.map((number, i) => ({ ...byNumber.get(number), label: "AB"[i] }));
  const byNumber = new Map(trials.map(trial => [trial.trial, trial]));
  const pin = number => {
    pins = pins.includes(number) ? pins.filter(one => one !== number) : [...pins, number].slice(-2);
    showPins();
    if (views.front) views.front.data("pinned", pinnedRows()).runAsync();
    for (const button of document.querySelectorAll("button[data-pin]"))
      button.setAttribute("aria-pressed", String(pins.includes(Number(button.dataset.pin))));
  };
  const showPins = () => {
    const place = document.getElementById("pinned");
    place.replaceChildren();
    if (!pins.length) return;
    const shown = pins.map(number => byNumber.get(number));
    const table = element("table"), head = element("tr"), body = element("tbody");
    head.append(element("th", "pinned", { class: "text" }));
    shown.forEach((trial, i) => {
      const cell = element("th", "AB"[i] + " ", { class: "text" });
      cell.append(element("code", trial.id));
      const away = element("button", "unpin", { type: "button", "aria-label": "unpin " + trial.id });
      away.addEventListener("click", () => pin(trial.trial));
      cell.append(" ", away);
      head.append(cell);
    });
    const add = (name, values) => {
      const row = element("tr");
      if (new Set(values).size > 1) row.className = "differs";
      row.append(element("th", name, { class: "text", scope: "row" }));
      for (const value of values) row.append(element("td", value, { class: "text wide" }));
      body.append(row);
    };
    const facts = { trial: t => String(t.trial), accuracy: t => percent(t.accuracy), latency, "p5 to p95": spread,
      reward: t => known(t.reward) ? t.reward.toFixed(4) : "—", parameters: t => millions(t.parameters, 2),
      "multiply-adds": t => millions(t.multiply_adds, 0), outcome: t => t.note || "—" };
    for (const [name, tell] of Object.entries(facts)) add(name, shown.map(tell));
    const blocks = shown.map(blocksOf);
    for (let i = 0; i < Math.max(...blocks.map(list => list.length)); i += 1)
      add("block " + (i + 1), blocks.map(list => list[i] || "—"));
    const top = element("thead");
    top.append(head);
    table.append(top, body);
    place.append(table);
  };

  // ---- the table of trials
  const PART = 100;
  const table = document.getElementById("table");
  let sorted = { by: "trial", down: false }, shown = PART;
  const SHOW = { all: () => true, front: t => t.kind === "front", trained: t => t.kind !== "none", untrained: t => t.kind === "none" };
  const chosen = () => {
    const words = document.getElementById("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    const which = SHOW[document.getElementById("which").value];
    const found = trials.filter(trial => which(trial) && words.every(word =>
      [trial.trial, trial.id, trial.state, trial.note, trial.blocks].join(" ").toLowerCase().includes(word)));
    const way = sorted.down ? -1 : 1;
    return found.sort((one, other) => {
      const a = one[sorted.by], b = other[sorted.by];
      if (!known(a) || !known(b)) return known(a) ? -1 : known(b) ? 1 : 0; // what is missing comes last either way
      return way * (typeof a === "string" ? a.localeCompare(b) : a - b) || one.trial - other.trial;
    });
  };
  const fill = () => {
    const found = chosen();
    const rows = found.slice(0, shown).map(trial => {
      const row = element("tr");
      const cell = (text, kind) => row.append(element("td", text, kind ? { class: kind } : {}));
      cell(String(trial.trial));
      const name = element("td", "", { class: "text" }), id = element("code", trial.id || "—");
      if (trial.file) { const link = element("a", "", { href: "candidates/" + encodeURIComponent(trial.id) + ".json" }); link.append(id); name.append(link); } else name.append(id);
      if (trial.kind !== "none") {
        const button = element("button", "pin", { type: "button", "data-pin": trial.trial, "aria-pressed": String(pins.includes(trial.trial)), "aria-label": "pin " + trial.id });
        name.append(" ", button);
      }
      row.append(name);
      cell(percent(trial.accuracy)); cell(latency(trial));
      cell(known(trial.reward) ? trial.reward.toFixed(4) : "—");
      cell(millions(trial.parameters, 2)); cell(millions(trial.multiply_adds, 0)); cell(trial.note, "text");
      return row;
    });
    table.tBodies[0].replaceChildren(...rows);
    document.getElementById("count").textContent = Math.min(shown, found.length) + " of " + found.length + " shown";
    document.getElementById("more").hidden = shown >= found.length;
  };
  const makeTable = () => {
    for (const head of table.tHead.rows[0].cells) {
      const button = element("button", head.textContent, { type: "button" });
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const by = head.dataset.sort;
        const numbers = by !== "trial" && by !== "latency" && by !== "id" && by !== "note";
        sorted = { by, down: sorted.by === by ? !sorted.down : numbers };
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", sorted.down ? "descending" : "ascending");
        shown = PART;
        fill();
      });
    }
    table.tBodies[0].addEventListener("click", event => {
      const button = event.target.closest("button[data-pin]");
      if (button) pin(Number(button.dataset.pin));
    });
    for (const id of ["filter", "which"]) document.getElementById(id).addEventListener(id === "which" ? "change" : "input", () => { shown = PART; fill(); });
    document.getElementById("more").addEventListener("click", () => { shown += 10 * PART; fill(); });
    fill();
  };
  drawAll();
  if (table) makeTable();
})();
