'use strict';
// Draws what the page's data says. Every text goes in as text, so nothing of a project is ever read as markup.
const data = JSON.parse(document.getElementById('data').textContent);
const nodes = new Map(data.nodes.map((n) => [n.id, n]));
const children = new Map(data.nodes.map((n) => [n.id, []]));
const readers = new Map();
for (const n of data.nodes) {
  for (const p of n.parents) children.get(p)?.push(n.id);
  for (const c of n.columns)
    for (const [id, column, how] of c.from) {
      const key = id + '\n' + column;
      if (!readers.has(key)) readers.set(key, []);
      readers.get(key).push([n.id, c.name, how]);
    }
}
const KINDS = ['source', 'seed', 'model', 'snapshot', 'analysis', 'function', 'exposure'];
const TITLES = { source: 'Sources', seed: 'Seeds', model: 'Models', snapshot: 'Snapshots', analysis: 'Analyses', function: 'Functions', exposure: 'Exposures' };
const HOW = { copy: 'copied', transform: 'computed', aggregate: 'aggregated', filter: 'decides which rows' };

function el(name, attributes = {}, ...inside) {
  const svg = ['svg', 'g', 'path', 'rect', 'text', 'title'].includes(name) || attributes.svg;
  const made = svg ? document.createElementNS('http://www.w3.org/2000/svg', name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === 'svg' || value === null || value === undefined) continue;
    if (key.startsWith('on')) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value);
  }
  for (const one of inside.flat(9)) if (one !== null && one !== undefined) made.append(one);
  return made;
}
const link = (id, column) => '#/' + encodeURIComponent(id) + (column ? '/' + encodeURIComponent(column) : '');
const kindClass = (kind) => 'k-' + (['source', 'seed', 'model', 'snapshot', 'exposure'].includes(kind) ? kind : 'other');

// The little of Markdown that descriptions use: paragraphs, lists, `code`, **strong**, links to the web.
function prose(text) {
  const inline = (line) =>
    line.split(/(`[^`]+`|\*\*[^*]+\*\*|\[[^\]]+\]\(https?:[^)\s]+\))/).map((part) => {
      if (/^`.+`$/.test(part)) return el('code', {}, part.slice(1, -1));
      if (/^\*\*.+\*\*$/.test(part)) return el('strong', {}, part.slice(2, -2));
      const found = /^\[([^\]]+)\]\((https?:[^)\s]+)\)$/.exec(part);
      return found ? el('a', { href: found[2], rel: 'noreferrer' }, found[1]) : part;
    });
  return text.split(/\n\s*\n/).filter((t) => t.trim()).map((block) => {
    const lines = block.trim().split('\n');
    if (lines.every((l) => /^\s*[-*] /.test(l))) return el('ul', {}, lines.map((l) => el('li', {}, inline(l.replace(/^\s*[-*] /, '')))));
    const heading = lines.length === 1 && /^#+ (.*)/.exec(lines[0]);
    return heading ? el('h3', {}, inline(heading[1])) : el('p', {}, inline(lines.join(' ')));
  });
}

// --- the side
const tree = document.getElementById('tree');
function drawTree(wanted, current) {
  const words = wanted.toLowerCase().split(/\s+/).filter(Boolean);
  const hit = (text) => words.every((w) => text.toLowerCase().includes(w));
  tree.replaceChildren();
  let found = 0;
  for (const kind of KINDS) {
    const folders = { inner: new Map(), items: [] };
    for (const n of data.nodes.filter((n) => n.kind === kind)) {
      const columns = words.length && !hit(n.name + ' ' + n.tags.join(' ')) ? n.columns.filter((c) => hit(n.name + ' ' + c.name + ' ' + c.description)) : [];
      if (words.length && !columns.length && !hit(n.name + ' ' + n.tags.join(' ') + ' ' + n.description)) continue;
      let at = folders;
      if (!words.length)
        for (const f of n.folder) {
          if (!at.inner.has(f)) at.inner.set(f, { inner: new Map(), items: [] });
          at = at.inner.get(f);
        }
      at.items.push([n, columns]);
      found += 1;
    }
    const draw = (at) => [
      [...at.inner].map(([name, inner]) => el('details', { open: '' }, el('summary', {}, name), draw(inner))),
      el('ul', {}, at.items.map(([n, columns]) =>
        el('li', {},
          el('a', { href: link(n.id), title: n.name, 'aria-current': n.id === current ? 'page' : null }, n.name),
          columns.slice(0, 5).map((c) => el('a', { href: link(n.id, c.name) }, el('small', {}, '↳ ' + c.name)))))),
    ];
    if (folders.items.length || folders.inner.size) tree.append(el('h2', {}, TITLES[kind]), ...draw(folders).flat());
  }
  if (!found) tree.append(el('p', { class: 'empty' }, 'Nothing has this name.'));
}

// --- the map: layers from left to right, each node below the middle of its parents
function map(ids, here) {
  const shown = new Set(ids);
  const level = new Map();
  for (const n of data.nodes) if (shown.has(n.id)) level.set(n.id, Math.max(-1, ...n.parents.filter((p) => shown.has(p)).map((p) => level.get(p))) + 1);
  const layers = [];
  for (const [id, at] of level) (layers[at] ??= []).push(id);
  const row = new Map();
  const middle = (list, fallback) => (list.length ? list.reduce((a, id) => a + row.get(id), 0) / list.length : fallback);
  for (const layer of layers) {
    layer.forEach((id, i) => row.set(id, i));
    const wish = new Map(layer.map((id, i) => [id, middle(nodes.get(id).parents.filter((p) => shown.has(p)), i)]));
    layer.sort((a, b) => wish.get(a) - wish.get(b));
    layer.forEach((id, i) => row.set(id, i));
  }
  const W = 230, H = 40, most = Math.max(1, ...layers.map((l) => l.length));
  const place = new Map();
  layers.forEach((layer, x) => layer.forEach((id, i) => place.set(id, [20 + x * W, 20 + (i + (most - layer.length) / 2) * H])));
  const svg = el('svg', { width: 40 + layers.length * W - 50, height: 40 + most * H - 10, role: 'img', 'aria-label': 'Graph of ' + shown.size + ' nodes' });
  for (const id of shown)
    for (const p of nodes.get(id).parents) {
      if (!place.has(p)) continue;
      const [x1, y1] = place.get(p), [x2, y2] = place.get(id);
      const [a, b] = [x1 + 180, x2];
      svg.append(el('path', { d: `M${a} ${y1 + 13}C${a + 25} ${y1 + 13} ${b - 25} ${y2 + 13} ${b} ${y2 + 13}`, 'data-a': p, 'data-b': id }));
    }
  const light = (id, on) => svg.querySelectorAll('path').forEach((p) => p.classList.toggle('lit', on && (p.dataset.a === id || p.dataset.b === id)));
  for (const id of shown) {
    const n = nodes.get(id), [x, y] = place.get(id);
    const short = n.name.length > 25 ? n.name.slice(0, 24) + '…' : n.name;
    svg.append(
      el('a', { svg: true, href: link(id), class: kindClass(n.kind) + (id === here ? ' here' : ''), onmouseenter: () => light(id, true), onmouseleave: () => light(id, false) },
        el('rect', { x, y, width: 180, height: 26 }), el('text', { x: x + 8, y: y + 17 }, short), el('title', {}, n.name)));
  }
  return el('div', { class: 'map' }, svg);
}
function around(id, steps) {
  const found = new Set([id]);
  const walk = (next) => {
    let edge = [id];
    for (let i = 0; i < steps && edge.length; i++) {
      edge = edge.flatMap(next).filter((n) => nodes.has(n) && !found.has(n));
      edge.forEach((n) => found.add(n));
    }
  };
  walk((n) => nodes.get(n).parents);
  const above = new Set(found);
  walk((n) => children.get(n));
  above.forEach((n) => found.add(n));
  return [...found];
}

// --- a column's way
function steps(id, column, next, seen = new Set()) {
  const key = id + '\n' + column;
  if (seen.has(key)) return null;
  const inside = next(id, column).map(([i, c, how]) =>
    el('li', {}, el('a', { href: link(i, c) }, (nodes.get(i)?.name ?? i) + '.' + c), el('span', { class: 'how' }, ' ' + (HOW[how] ?? how)), steps(i, c, next, new Set([...seen, key]))));
  return inside.length ? el('ul', {}, inside) : null;
}
const above = (id, column) => nodes.get(id)?.columns.find((c) => c.name === column)?.from ?? [];
const below = (id, column) => readers.get(id + '\n' + column) ?? [];

// --- pages
const main = document.getElementById('main');
function overview() {
  const count = (kind) => data.nodes.filter((n) => n.kind === kind).length;
  const few = data.nodes.length <= 400;
  main.replaceChildren(
    el('h2', {}, data.project),
    el('p', { class: 'facts' }, 'Target ', el('code', {}, data.target), ', written ' + data.generated_at + ' by segue ' + data.segue),
    ...prose(data.overview),
    el('div', { class: 'cards' }, KINDS.filter(count).map((k) => el('div', {}, el('b', {}, String(count(k))), TITLES[k])),
      el('div', {}, el('b', {}, String(data.nodes.reduce((a, n) => a + n.columns.length, 0))), 'Columns'),
      el('div', {}, el('b', {}, String(data.nodes.reduce((a, n) => a + n.tests.length + n.columns.reduce((b, c) => b + c.tests.length, 0), 0))), 'Tests')),
    el('h3', {}, 'From sources to results'),
    few ? map(data.nodes.map((n) => n.id)) : el('p', { class: 'empty' }, 'The graph has ' + data.nodes.length + ' nodes: choose one to see what is around it.'),
  );
}
function nodePage(n, asked) {
  const facts = [n.materialized, n.package === data.project ? null : 'package ' + n.package].filter(Boolean);
  const sql = el('div');
  if (n.sql) {
    const shown = el('pre', { tabindex: '0' });
    const tabs = [['As written', n.sql], ['As compiled', n.compiled]].filter(([, text]) => text);
    const buttons = tabs.map(([title, text]) =>
      el('button', { role: 'tab', onclick: () => { shown.textContent = text.trim(); buttons.forEach((b) => b.setAttribute('aria-selected', String(b.textContent === title))); } }, title));
    sql.append(el('h3', {}, 'SQL'), el('div', { class: 'tabs', role: 'tablist' }, buttons), shown);
    buttons[0].click();
  }
  const came = (list, most) => [list.slice(0, most).map(([i, c, how]) => el('div', {}, el('a', { href: link(i, c) }, (nodes.get(i)?.name ?? i) + '.' + c), el('span', { class: 'how' }, ' ' + (HOW[how] ?? how)))),
    list.length > most ? el('div', { class: 'how' }, 'and ' + (list.length - most) + ' more') : null];
  const rows = n.columns.map((c) => {
    const row = el('tr', { id: 'column-' + c.name, class: c.name === asked ? 'asked' : null },
      el('td', { class: 'name' }, el('a', { href: link(n.id, c.name) }, c.name)), el('td', { class: 'type' }, c.type ?? ''),
      el('td', {}, prose(c.description), c.tests.map((t) => el('span', { class: 'test' }, t))),
      el('td', { class: 'from' }, came(c.from, 4)), el('td', { class: 'from' }, came(below(n.id, c.name), 4)));
    if (c.name !== asked) return row;
    const up = steps(n.id, c.name, above), down = steps(n.id, c.name, below);
    return [row, el('tr', { class: 'asked' }, el('td', { colspan: 5 },
      up ? [el('b', {}, 'All it is made from'), el('div', { class: 'steps' }, up)] : null, down ? [el('b', {}, 'All that is made from it'), el('div', { class: 'steps' }, down)] : null,
      up || down ? null : 'Made from no column, and read by none.'))];
  });
  main.replaceChildren(
    el('h2', {}, n.name),
    el('p', { class: 'facts' }, el('span', { class: 'kind ' + kindClass(n.kind) }, n.kind), facts.join(' · '), facts.length ? ' · ' : '', n.relation ? [el('code', {}, n.relation), ' · '] : null, n.file),
    el('p', {}, n.tags.map((t) => el('span', { class: 'tag' }, t))),
    ...(n.description ? prose(n.description) : [el('p', { class: 'empty' }, 'Nobody has described it yet.')]),
    el('h3', {}, 'Around it'), map(around(n.id, 2), n.id),
    ...(n.tests.length ? [el('h3', {}, 'Tests'), el('p', {}, n.tests.map((t) => el('span', { class: 'test' }, t)))] : []),
    ...(n.columns.length
      ? [el('h3', {}, 'Columns'), el('div', { class: 'scroll' }, el('table', {}, el('thead', {}, el('tr', {}, ['Column', 'Type', 'Description', 'Comes from', 'Goes to'].map((t) => el('th', { scope: 'col' }, t)))), el('tbody', {}, rows)))]
      : n.untyped ? [el('h3', {}, 'Columns'), el('p', { class: 'empty' }, 'Not known before it is built: ' + n.untyped)] : []),
    sql,
  );
}
const search = document.getElementById('search');
function route() {
  const [id, column] = location.hash.replace(/^#\/?/, '').split('/').map(decodeURIComponent);
  const n = nodes.get(id);
  if (n) nodePage(n, column);
  else if (id) main.replaceChildren(el('h2', {}, 'Not here'), el('p', {}, 'No node is called ', el('code', {}, id), '. ', el('a', { href: '#/' }, 'To the overview')));
  else overview();
  document.title = (n ? n.name + (column ? '.' + column : '') : data.project) + ' · documentation';
  drawTree(search.value, id);
  main.scrollTop = 0;
  document.querySelector('.map .here')?.scrollIntoView({ block: 'nearest', inline: 'center' });
  if (column) document.getElementById('column-' + column)?.scrollIntoView({ block: 'center' });
  else tree.querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest' });
}
search.addEventListener('input', () => drawTree(search.value, decodeURIComponent(location.hash.replace(/^#\/?/, '').split('/')[0])));
search.addEventListener('keydown', (e) => { if (e.key === 'Enter') tree.querySelector('a')?.click(); });
document.addEventListener('keydown', (e) => { if (e.key === '/' && document.activeElement !== search) { e.preventDefault(); search.focus(); } });
window.addEventListener('hashchange', route);
route();
