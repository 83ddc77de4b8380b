"use strict";
// Filters, sorts, folds and finds; everything is readable without it. Text is only ever compared, never made markup.
(() => {
  const byId = (id) => document.getElementById(id);
  const list = byId("list"), search = byId("search"), filter = byId("filter"), sort = byId("sort");
  const rows = [...list.querySelectorAll(".criterion")];
  const worst = new Map(rows.map((row, place) => [row, place]));
  const words = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  const number = (row, name, missing) => (row.dataset[name] === "" ? missing : Number(row.dataset[name]));
  const orders = {
    worst: (a, b) => worst.get(a) - worst.get(b),
    spec: (a, b) => number(a, "spec", 0) - number(b, "spec", 0),
    distance: (a, b) => number(a, "distance", Infinity) - number(b, "distance", Infinity) || worst.get(a) - worst.get(b),
    title: (a, b) => a.querySelector("h3").textContent.localeCompare(b.querySelector("h3").textContent),
  };
  const shown = () => [...list.querySelectorAll(".criterion:not([hidden])")];

  function choose() {
    const wanted = search.value.trim().toLowerCase();
    for (const row of rows) {
      const apart = filter.value !== "" && row.dataset.group !== filter.value;
      row.hidden = apart || !words.get(row).includes(wanted);
    }
    byId("count").textContent = `${shown().length} of ${rows.length} criteria`;
  }

  function step(by) {
    const now = shown(), at = now.indexOf(document.activeElement.closest(".criterion"));
    const next = now[at < 0 ? (by > 0 ? 0 : now.length - 1) : at + by];
    if (next) next.focus();
  }

  function fold(row) {
    const details = row && row.querySelector("details");
    if (details) details.open = !details.open;
  }

  function reveal() {
    const target = location.hash && byId(location.hash.slice(1));
    if (!target) return;
    target.hidden = false;
    for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
    if (target.matches(".criterion")) target.querySelector("details").open = true;
    (target.matches("details") ? target.querySelector("summary") : target).focus();
    target.scrollIntoView();
  }

  const cells = [...document.querySelectorAll(".stacks li")];
  const links = () => cells.filter((cell) => !cell.hidden).map((cell) => cell.querySelector("a")).filter(Boolean);

  // One stop for the tab key; arrows go from problem to problem.
  function stop(link) {
    for (const each of document.querySelectorAll(".stacks a")) each.tabIndex = each === link ? 0 : -1;
  }

  function wander(event) {
    const now = links(), at = now.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: now.length - 1 }[event.key];
    if (at < 0 || to === undefined || !now[to]) return;
    event.preventDefault();
    stop(now[to]);
    now[to].focus();
  }

  function chooseProblems() {
    const wanted = byId("problem-filter").value;
    for (const cell of cells) {
      const letters = cell.dataset.letters, given = new Set(letters.replaceAll(" ", ""));
      cell.hidden = wanted === "differ" ? given.size < 2 : wanted !== "" && letters[Number(wanted)] !== "+";
    }
    byId("problem-count").textContent = `${cells.filter((cell) => !cell.hidden).length} of ${cells.length} problems`;
    stop(links()[0]);
  }

  const keys = {
    "/": () => search.focus(),
    j: () => step(1),
    k: () => step(-1),
    o: () => fold(document.activeElement.closest(".criterion")),
  };
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && document.activeElement === search) search.blur();
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select")) return;
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
  for (const tools of document.querySelectorAll(".tools")) tools.hidden = false;
  search.addEventListener("input", choose);
  filter.addEventListener("change", choose);
  sort.addEventListener("change", () => list.append(...[...rows].sort(orders[sort.value])));
  const all = (open) => shown().forEach((row) => (row.querySelector("details").open = open));
  byId("unfold").addEventListener("click", () => all(true));
  byId("fold").addEventListener("click", () => all(false));
  choose();
  if (byId("problem-filter")) {
    byId("problem-filter").addEventListener("change", chooseProblems);
    document.querySelector(".stacks").addEventListener("keydown", wander);
    chooseProblems();
  }
  window.addEventListener("hashchange", reveal);
  // A second click on the same link changes no hash.
  document.addEventListener("click", (event) => {
    const link = event.target.closest && event.target.closest('a[href^="#"]');
    if (link && link.hash === location.hash) reveal();
  });
  window.addEventListener("beforeprint", () => rows.forEach((row) => (row.querySelector("details").open = true)));
  reveal();
})();
