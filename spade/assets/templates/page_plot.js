"use strict";
// The graph of a card: where nodes, arrows and the words on them go, and how they look.
const drawing = (() => {
  const SVG = "http://www.w3.org/2000/svg";
  function element(name, attributes = {}, text = null, space = null) {
    const made = space ? document.createElementNS(space, name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== null) made.textContent = text;
    return made;
  }
  const shape = (name, attributes, text) => element(name, attributes, text, SVG);

  const ruler = document.createElement("canvas").getContext("2d");
  function textWidth(text, size) {
    ruler.font = `${size}px system-ui, "Segoe UI", "DejaVu Sans", sans-serif`;
    return ruler.measureText(text).width;
  }
  // No box on another: of two that overlap, each gives way along the side where that is less.
  function apart(boxes) {
    for (let i = 0; i < boxes.length; i++) for (let j = 0; j < i; j++) {
      const [a, b] = [boxes[i], boxes[j]], x = a.x - b.x, y = a.y - b.y;
      const over = [a.half + b.half + 8 - Math.abs(x), a.tall + b.tall + 8 - Math.abs(y)];
      if (over[0] <= 0 || over[1] <= 0) continue;
      const k = over[0] < over[1] ? "x" : "y", push = (k === "x" ? Math.sign(x || 1) * over[0] : Math.sign(y || 1) * over[1]) / 2;
      const share = a.pair && !b.pair ? 0.8 : b.pair && !a.pair ? 0.2 : 0.5;
      a[k] += 2 * push * share * 0.7;
      b[k] -= 2 * push * (1 - share) * 0.7;
    }
  }
  // Nodes where their segments are, an arrow for each ordered pair through the words on it; nodes and words are the
  // bodies that the forces move.
  function plotted(card) {
    const { graph, shown } = card, pairs = new Map(), tall = card.plotHeight;
    for (const r of shown) {
      const key = `${r.s} ${r.o}`;
      if (!pairs.has(key)) pairs.set(key, { s: r.s, o: r.o, rows: [], words: new Set() });
      pairs.get(key).rows.push(graph.relations.indexOf(r));
      pairs.get(key).words.add(r.predicate);
    }
    // All segments where they are few; else those that are related, and of the others the largest.
    const related = new Set(shown.flatMap((r) => [r.s, r.o])), bySize = graph.segments.map((_, i) => i).sort((a, b) => graph.segments[b].area - graph.segments[a].area);
    const used = [...new Set([...related, ...bySize.slice(0, Math.max(0, 14 - related.size + bySize.slice(0, 14).filter((i) => related.has(i)).length))])].sort((a, b) => a - b);
    const nodes = used.map((index, i) => {
      const segment = graph.segments[index];
      const home = [30 + 580 * segment.x / graph.width, 24 + (tall - 48) * segment.y / graph.height];
      return { segment, number: index, alone: !related.has(index), home, half: textWidth(segment.name, 14) / 2 + 12, tall: 13, x: home[0] + Math.cos(i), y: home[1] + Math.sin(i) };
    });
    const place = new Map(nodes.map((node) => [node.number, node]));
    const words = [...pairs.values()].map((pair) => {
      const [s, o] = [place.get(pair.s), place.get(pair.o)], text = [...pair.words].join(", ");
      const along = [o.x - s.x, o.y - s.y], length = Math.hypot(...along) || 1, side = pairs.has(`${pair.o} ${pair.s}`) ? 20 : 4;
      return { pair, text, s, o, half: textWidth(text, 12.5) / 2 + 5, tall: 9, x: (s.x + o.x) / 2 + side * along[1] / length, y: (s.y + o.y) / 2 - side * along[0] / length };
    });
    const bodies = [...nodes, ...words];
    const links = words.flatMap((word) => [word.s, word.o].map((end) => ({ source: end, target: word })));
    const force = d3.forceSimulation(bodies).stop().alphaDecay(0.012)
      .force("x", d3.forceX((n) => n.home ? n.home[0] : (n.s.x + n.o.x) / 2).strength((n) => n.home ? 0.08 : 0.05))
      .force("y", d3.forceY((n) => n.home ? n.home[1] : (n.s.y + n.o.y) / 2).strength((n) => n.home ? 0.08 : 0.05))
      .force("links", d3.forceLink(links).distance((l) => 46 + 0.5 * (l.source.half + l.target.half)).strength(0.08))
      .force("apart", d3.forceManyBody().strength(-60).distanceMax(180));
    for (let step = 0; step < 220; step++) {
      force.tick();
      apart(bodies);
      for (const body of bodies) {
        body.x = Math.min(Math.max(body.x, body.half + 5), 635 - body.half);
        body.y = Math.min(Math.max(body.y, body.tall + 5), tall - 5 - body.tall);
      }
    }
    for (const word of words) clear(word, nodes, words, tall);
    const parts = words.map((word) => arrow(card, word));
    return [card.veil(), ...parts.map((part) => part.line), ...nodes.map((node) => pill(card, node)), ...parts.map((part) => part.word)];
  }
  const inside = (body, [x, y], margin = 3) => Math.abs(x - body.x) < body.half + margin && Math.abs(y - body.y) < body.tall + margin;
  // The curve from node to node through its words, from rim to rim.
  function curve({ s, o }, place, steps) {
    const middle = [2 * place.x - (s.x + o.x) / 2, 2 * place.y - (s.y + o.y) / 2];
    const at = (t) => [(1 - t) ** 2 * s.x + 2 * t * (1 - t) * middle[0] + t * t * o.x, (1 - t) ** 2 * s.y + 2 * t * (1 - t) * middle[1] + t * t * o.y];
    const points = Array.from({ length: steps + 1 }, (_, i) => at(i / steps)).filter((p) => !inside(s, p) && !inside(o, p));
    return points.length < 2 ? [at(0), at(1)] : points;
  }
  // Words go where their arrow runs under no other node and ends under no other words.
  function clear(word, nodes, words, tall) {
    const { s, o } = word, along = [o.x - s.x, o.y - s.y], length = Math.hypot(...along) || 1, side = [along[1] / length, -along[0] / length];
    const others = [...nodes.filter((n) => n !== s && n !== o), ...words.filter((w) => w !== word)];
    const cost = (place) => {
      const points = curve(word, place, 40), tip = points.slice(-6), box = { x: place.x, y: place.y, half: word.half, tall: word.tall };
      let sum = Math.hypot(place.x - (s.x + o.x) / 2, place.y - (s.y + o.y) / 2) * 0.02;
      for (const other of others) {
        sum += points.filter((p) => inside(other, p, other.pair ? 0 : 4)).length * (other.pair ? 0.5 : 2);
        if (other.pair) sum += 6 * tip.filter((p) => inside(other, p, 2)).length;
        if (Math.abs(box.x - other.x) < box.half + other.half + 2 && Math.abs(box.y - other.y) < box.tall + other.tall + 2) sum += 12;
      }
      for (const end of [s, o]) if (Math.abs(box.x - end.x) < box.half + end.half && Math.abs(box.y - end.y) < box.tall + end.tall) sum += 12;
      for (const p of tip) if (inside(box, p, 0)) sum += 6;
      return sum;
    };
    const places = [{ x: word.x, y: word.y }];
    for (const bend of [0, 18, -18, 40, -40, 70, -70, 110, -110, 150, -150]) {
      const place = { x: (s.x + o.x) / 2 + bend * side[0], y: (s.y + o.y) / 2 + bend * side[1] };
      place.x = Math.min(Math.max(place.x, word.half + 5), 635 - word.half);
      place.y = Math.min(Math.max(place.y, word.tall + 5), tall - 5 - word.tall);
      places.push(place);
    }
    const costs = places.map(cost), best = costs.indexOf(Math.min(...costs));
    [word.x, word.y] = [places[best].x, places[best].y];
  }
  function arrow(card, word) {
    const { pair } = word, points = curve(word, word, 120);
    const tip = points[points.length - 1], root = points.findLast((p) => Math.hypot(p[0] - tip[0], p[1] - tip[1]) > 10) || points[0];
    const turn = Math.atan2(tip[1] - root[1], tip[0] - root[0]) * 180 / Math.PI, d = points.map((p, i) => `${i ? "L" : "M"}${p[0].toFixed(1)} ${p[1].toFixed(1)}`).join("");
    const rows = pair.rows.join(" "), line = shape("g", { class: "edge", "data-relations": rows }), label = shape("g", { class: "edge", "data-relations": rows });
    line.append(shape("path", { class: "wide", d }), shape("path", { class: "line", d }), shape("path", { class: "head", d: "M0 0L-11 4.5L-11 -4.5z", transform: `translate(${tip}) rotate(${turn})` }));
    label.append(shape("rect", { x: word.x - word.half, y: word.y - word.tall, width: 2 * word.half, height: 2 * word.tall, rx: 3 }), shape("text", { x: word.x, y: word.y + 4.5 }, word.text));
    for (const part of [line, label]) {
      part.addEventListener("mouseenter", () => card.light([pair.s, pair.o], pair.rows[0]));
      part.addEventListener("mouseleave", () => card.rest());
      part.addEventListener("click", () => card.pin(`r${pair.rows[0]}`, [pair.s, pair.o], pair.rows[0]));
    }
    return { line, word: label };
  }
  function pill(card, node) {
    const part = shape("g", { class: node.alone ? "node alone" : "node", tabindex: 0, role: "button", "data-segment": node.number, "aria-label": `${node.segment.name}, node`, transform: `translate(${node.x.toFixed(1)} ${node.y.toFixed(1)})` });
    part.append(shape("rect", { x: -node.half, y: -13, width: 2 * node.half, height: 26, rx: 13, stroke: node.segment.colour }), shape("text", { y: 5 }, node.segment.name));
    card.reacts(part, () => card.light([node.number]), () => card.pin(`s${node.number}`, [node.number]));
    return part;
  }
  return { element, shape, textWidth, plotted };
})();
