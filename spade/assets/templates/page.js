"use strict";
// One page of scene graphs: cards are drawn when they come into view, every text goes in as text, never as markup.
(() => {
  const { element, shape, textWidth, plotted } = drawing, byId = (id) => document.getElementById(id);
  const facts = JSON.parse(byId("facts").textContent);
  const photos = [...document.querySelectorAll("script.photo")];
  const graphs = [...document.querySelectorAll("script.graph")].map((script) => JSON.parse(script.textContent));
  const control = Object.fromEntries(["search", "predicate", "label", "score", "count"].map((id) => [id, byId(id)]));
  let asTable = false;

  // What of a graph is shown: the first relations, best first, that pass every filter.
  function chosen(graph) {
    const query = control.search.value.trim().toLowerCase();
    const named = graph.name.toLowerCase().includes(query);
    const found = graph.relations.filter((r) => {
      const [s, o] = [graph.segments[r.s], graph.segments[r.o]];
      return r.score >= +control.score.value
        && (!control.predicate.value || r.predicate === control.predicate.value)
        && (!control.label.value || s.label === control.label.value || o.label === control.label.value)
        && (named || `${s.name} ${r.predicate} ${o.name} ${s.official} ${o.official}`.toLowerCase().includes(query));
    });
    return found.slice(0, +control.count.value);
  }
  const filtered = () => control.search.value.trim() || control.predicate.value || control.label.value || +control.score.value;
  function mentions(graph) {
    const query = control.search.value.trim().toLowerCase();
    return !control.predicate.value && graph.segments.some((s) => (!control.label.value || s.label === control.label.value)
      && (graph.name.toLowerCase().includes(query) || `${s.name} ${s.official}`.toLowerCase().includes(query)));
  }

  class Card {
    constructor(graph, photo) {
      this.graph = graph;
      this.photo = photo;
      this.pinned = null;
      this.drawn = false;
      this.root = element("article", { class: "card", "aria-label": graph.name });
      byId("cards").append(this.root);
    }
    draw() {
      if (this.drawn) return;
      this.drawn = true;
      const head = element("div", { class: "head" });
      head.append(element("h2", {}, this.graph.name));
      for (const [text, label, factor] of [["+", "zoom in", 0.7], ["\u2212", "zoom out", 1 / 0.7], ["1:1", "whole image", 0]]) {
        const button = element("button", { type: "button", "aria-label": label, class: "zoom" }, text);
        button.addEventListener("click", () => this.zoom(factor));
        head.append(button);
      }
      this.pair = element("div", { class: "pair" });
      this.body = element("div");
      this.root.append(head, this.pair, this.body);
      this.image = this.masks();
      this.plotHeight = Math.round(Math.min(800, Math.max(360, 640 * this.graph.height / this.graph.width)));
      this.plot = shape("svg", { viewBox: `0 0 640 ${this.plotHeight}`, class: "plot", role: "group", "aria-label": `graph of ${this.graph.name}` });
      this.pair.append(this.image, this.plot);
      this.update();
    }
    masks() {
      const { width, height, segments } = this.graph;
      this.whole = this.view = [0, 0, width, height];
      const svg = shape("svg", { viewBox: this.view.join(" "), class: this.graph.boxes ? "image boxes" : "image", role: "group", "aria-label": `segments of ${this.graph.name}` });
      svg.append(shape("image", { href: this.photo.textContent, width, height, preserveAspectRatio: "none" }));
      const unit = Math.max(width / 640, height / 480), names = shape("g", { "aria-hidden": "true" });
      for (const index of segments.map((_, i) => i).sort((a, b) => segments[b].area - segments[a].area)) {
        const segment = segments[index];
        const path = shape("path", { d: segment.d, fill: segment.colour, class: "mask", style: this.graph.boxes ? `stroke: ${segment.colour}` : "", tabindex: 0, role: "button", "data-segment": index, "aria-label": `${segment.name}, segment` });
        this.reacts(path, () => this.light([index]), () => this.pin(`s${index}`, [index]));
        svg.append(path);
        // A name that finds no room shows when its segment lights up.
        const [x, y] = segment.at || [segment.x, segment.y];
        const name = shape("g", { class: segment.at ? "name" : "name spare", "data-name": index, transform: `translate(${x} ${y}) scale(${unit})` });
        const wide = textWidth(segment.name, 13) + 12;
        name.append(shape("rect", { style: this.graph.boxes ? `stroke: ${segment.colour}` : "", x: -wide / 2, y: -9.5, width: wide, height: 19, rx: 9.5 }), shape("text", { y: 4.5 }, segment.name));
        names.append(name);
      }
      svg.append(names);
      svg.addEventListener("wheel", (event) => {
        if (!event.ctrlKey && !event.metaKey) return;
        event.preventDefault();
        this.zoom(event.deltaY < 0 ? 0.85 : 1 / 0.85, event);
      }, { passive: false });
      svg.addEventListener("pointerdown", (event) => this.drag(event));
      // What is dragged is not focused, which would light it up.
      svg.addEventListener("mousedown", (event) => { if (this.view[2] < this.whole[2]) event.preventDefault(); });
      return svg;
    }
    // The image, faint, behind the graph: nodes lie where their segments are.
    veil() {
      return shape("image", { href: this.photo.textContent, width: 640, height: this.plotHeight, preserveAspectRatio: "none", class: "veil" });
    }
    // Zoom to a share of what is seen, about the pointer or the middle; 0 for the whole image.
    zoom(factor, event = null) {
      const [x, y, width, height] = this.view, [, , fullWidth, fullHeight] = this.whole;
      const at = event ? this.point(event) : [x + width / 2, y + height / 2];
      const size = factor ? Math.min(fullWidth, Math.max(fullWidth / 24, width * factor)) : fullWidth;
      const share = size / width;
      this.move(at[0] - (at[0] - x) * share, at[1] - (at[1] - y) * share, size, size * fullHeight / fullWidth);
    }
    move(x, y, width, height) {
      const [, , fullWidth, fullHeight] = this.whole;
      this.view = [Math.min(Math.max(x, 0), fullWidth - width), Math.min(Math.max(y, 0), fullHeight - height), width, height];
      this.image.setAttribute("viewBox", this.view.join(" "));
      this.image.classList.toggle("zoomed", width < fullWidth);
    }
    point(event) {
      const place = new DOMPoint(event.clientX, event.clientY).matrixTransform(this.image.getScreenCTM().inverse());
      return [place.x, place.y];
    }
    drag(event) {
      if (this.view[2] >= this.whole[2]) return;
      const from = this.point(event);
      let moved = false;
      const move = (other) => {
        moved = moved || Math.hypot(other.clientX - event.clientX, other.clientY - event.clientY) > 4;
        const to = this.point(other);
        this.move(this.view[0] + from[0] - to[0], this.view[1] + from[1] - to[1], this.view[2], this.view[3]);
      };
      const stop = () => {
        window.removeEventListener("pointermove", move);
        window.removeEventListener("pointerup", stop);
        // The click that ends a drag is none.
        if (moved) window.addEventListener("click", (click) => click.stopPropagation(), { capture: true, once: true });
      };
      window.addEventListener("pointermove", move);
      window.addEventListener("pointerup", stop);
    }
    reacts(target, light, press) {
      for (const name of ["mouseenter", "focus"]) target.addEventListener(name, light);
      for (const name of ["mouseleave", "blur"]) target.addEventListener(name, () => this.rest());
      target.addEventListener("click", press);
      if (target instanceof SVGElement) target.addEventListener("keydown", (event) => {
        if (event.key === "Enter" || event.key === " ") { event.preventDefault(); press(); }
        if (event.key === "Escape") { this.pinned = null; this.rest(); }
      });
    }
    pin(key, segments, relation = null) {
      this.pinned = this.pinned && this.pinned.key === key ? null : { key, segments, relation };
      this.rest();
    }
    rest() {
      if (this.pinned) this.light(this.pinned.segments, this.pinned.relation);
      else this.light(null);
      for (const button of this.body.querySelectorAll("button[data-relation]")) button.setAttribute("aria-pressed", String(Boolean(this.pinned) && this.pinned.key === `r${button.dataset.relation}`));
    }
    // Segments light up with all of their relations, or one relation with its two ends.
    light(segments, relation = null) {
      this.root.classList.toggle("lighting", segments !== null);
      const relations = new Set(), ends = new Set(segments || []);
      for (const [index, r] of this.graph.relations.entries()) {
        if (segments !== null && (relation === null ? segments.includes(r.s) || segments.includes(r.o) : index === relation)) {
          relations.add(index);
          if (this.shown.includes(r)) ends.add(r.s).add(r.o);
        }
      }
      for (const part of this.root.querySelectorAll("[data-segment]")) part.classList.toggle("lit", part.classList.contains("mask") && relation === null ? (segments || []).includes(+part.dataset.segment) : ends.has(+part.dataset.segment));
      for (const part of this.root.querySelectorAll("[data-name]")) part.classList.toggle("lit", ends.has(+part.dataset.name));
      for (const part of this.root.querySelectorAll("[data-relations]")) part.classList.toggle("lit", part.dataset.relations.split(" ").some((r) => relations.has(+r)));
      for (const part of this.root.querySelectorAll("li, tr")) part.classList.toggle("lit", relations.has(+part.dataset.row));
    }
    update() {
      this.shown = chosen(this.graph);
      this.root.hidden = Boolean(filtered()) && !this.shown.length && !mentions(this.graph);
      if (!this.drawn) return;
      this.plot.replaceChildren(...plotted(this));
      this.body.replaceChildren(asTable ? this.table() : this.list());
      this.pinned = null;
      this.rest();
    }
    button(r, content) {
      const row = this.graph.relations.indexOf(r), names = [this.graph.segments[r.s].name, this.graph.segments[r.o].name];
      const button = element("button", { type: "button", "aria-pressed": "false", "data-relation": row, "aria-label": `${names[0]} ${r.predicate} ${names[1]}, ${r.score.toFixed(2)}` });
      button.append(...content);
      this.reacts(button, () => this.light([r.s, r.o], row), () => this.pin(`r${row}`, [r.s, r.o], row));
      return button;
    }
    surest() {
      return [...this.shown].sort((a, b) => b.score - a.score);
    }
    list() {
      if (!this.shown.length) return element("p", { class: "empty" }, "no relation to show");
      const list = element("ol");
      for (const r of this.surest()) {
        const item = element("li", { "data-row": this.graph.relations.indexOf(r) }), words = `${this.graph.segments[r.s].name} ${r.predicate} ${this.graph.segments[r.o].name}`;
        item.append(this.button(r, [element("span", { class: "value" }, r.score.toFixed(2)), words]));
        list.append(item);
      }
      return list;
    }
    table() {
      const table = element("table"), head = element("tr"), body = element("tbody");
      for (const title of ["score", "subject", "predicate", "object"]) head.append(element("th", { scope: "col" }, title));
      for (const r of this.surest()) {
        const line = element("tr", { "data-row": this.graph.relations.indexOf(r) });
        line.append(element("td", { class: "value" }, r.score.toFixed(3)));
        line.append(element("td", {}, this.graph.segments[r.s].name));
        line.append(element("td"), element("td", {}, this.graph.segments[r.o].name));
        line.children[2].append(this.button(r, [r.predicate]));
        body.append(line);
      }
      const top = element("thead");
      top.append(head);
      table.append(element("caption", { class: "empty" }, `${this.shown.length} relations of ${this.graph.name}`), top, body);
      return table;
    }
  }

  for (const id of ["predicate", "label"]) for (const name of facts[`${id}s`]) control[id].append(element("option", { value: name }, name));
  const cards = graphs.map((graph, i) => new Card(graph, photos[i]));
  const watcher = new IntersectionObserver((seen) => {
    for (const entry of seen) if (entry.isIntersecting) {
      watcher.unobserve(entry.target);
      cards.find((card) => card.root === entry.target).draw();
    }
  }, { rootMargin: "600px" });
  function refresh() {
    byId("score-value").textContent = (+control.score.value).toFixed(2);
    byId("count-value").textContent = control.count.value;
    for (const card of cards) card.update();
    const there = cards.filter((card) => !card.root.hidden);
    byId("shown").textContent = `${there.length} of ${cards.length} images, ${there.reduce((sum, card) => sum + card.shown.length, 0)} relations`;
  }
  let waiting = null;
  for (const input of Object.values(control)) input.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(refresh, 60); });
  byId("table").addEventListener("click", (event) => {
    asTable = !asTable;
    event.currentTarget.setAttribute("aria-pressed", String(asTable));
    refresh();
  });
  function theme(name) {
    document.documentElement.dataset.theme = name;
    byId("theme").textContent = name === "dark" ? "light" : "dark";
  }
  byId("theme").addEventListener("click", () => theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
  theme(window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  refresh();
  for (const card of cards) watcher.observe(card.root);
})();
