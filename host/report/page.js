/* page.js - what moves in the report. The page holds its parts without it: here are lists, zoom, hovering and the download. */
(() => {
    "use strict";
    const at = id => document.getElementById(id);
    const all = (what, within) => [...(within || document).querySelectorAll(what)];
    const data = JSON.parse(at("data").textContent);
    const share = x => x === null ? "unknown" : x.toFixed(3);
    /* Shows marks that turn the direction of writing, and separators of lines, as the terminal does. */
    const visible = text => String(text).replace(/[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, c => "\\u{" + c.charCodeAt(0).toString(16).padStart(4, "0") + "}");
    /* Makes an element; its text is set as text, so nothing in a name can become markup. */
    const make = (tag, text, name) => {
        const e = document.createElement(tag);
        if (text !== undefined) e.textContent = visible(text);
        if (name) e.className = name;
        return e;
    };
    const named = (list, i, word) => list && list[i] ? visible(list[i]) : word + " " + i;
    const cluster = i => i < 0 ? "unknown" : named(data.titles, i, "cluster");
    const label = i => visible(data.labels[i] || String(i));

    /* A picture stands once in the file; where it is shown again, it is copied from there. */
    const source = sample => {
        const first = at("p" + sample);
        return first ? first.src : data.pictures[sample] ? "data:image/jpeg;base64," + data.pictures[sample] : "";
    };
    for (const img of all("img[data-of]")) img.src = source(img.dataset.of);

    /* --- curves: the values below the pointer, or below the arrow keys ---------------------------- */
    for (const svg of all("svg[data-curve]")) {
        const points = data.curves[svg.dataset.curve], say = svg.parentNode.querySelector("output"), before = say.textContent;
        const [left, right, first, last] = svg.dataset.span.split(" ").map(Number);
        const line = svg.querySelector(".cross");
        let now = points.length - 1;
        const show = i => {
            now = Math.max(0, Math.min(points.length - 1, i));
            const x = left + (points[now][0] - first) / (last - first || 1) * (right - left);
            line.setAttribute("x1", x);
            line.setAttribute("x2", x);
            line.removeAttribute("visibility");
            say.textContent = Number(points[now][1]).toPrecision(4) + " at " + points[now][0];
        };
        const hide = () => { line.setAttribute("visibility", "hidden"); say.textContent = before; };
        const nearest = event => {
            const box = svg.getBoundingClientRect(), x = (event.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
            const wanted = first + (x - left) / (right - left) * (last - first);
            let best = 0;
            points.forEach((p, i) => { if (Math.abs(p[0] - wanted) < Math.abs(points[best][0] - wanted)) best = i; });
            show(best);
        };
        for (const kind of ["pointermove", "pointerdown"]) svg.addEventListener(kind, nearest);
        svg.addEventListener("pointerleave", hide);
        svg.addEventListener("blur", hide);
        svg.addEventListener("keydown", event => {
            const step = { ArrowLeft: -1, ArrowRight: 1, Home: -1e9, End: 1e9 }[event.key];
            if (!step) return;
            event.preventDefault();
            show(now + step);
        });
    }

    /* --- clusters: order, full lists, search ------------------------------------------------------ */
    const cards = all(".card");
    const fill = (details, from) => {
        const c = Number(details.dataset.names), names = data.names[c], list = details.querySelector("ol");
        for (let i = from; i < Math.min(names.length, from + 500); i++) {
            const row = make("li");
            row.append(make("bdi", names[i]), make("span", share(data.confidence[c][i]), "muted"));
            list.append(row);
        }
        if (from + 500 < names.length) requestAnimationFrame(() => fill(details, from + 500));
    };
    for (const details of all("details[data-names]"))
        details.addEventListener("toggle", () => { if (details.open && !details.querySelector("ol").firstChild) fill(details, 0); });
    if (at("order")) at("order").addEventListener("change", () => {
        const key = at("order").value, value = card => card.dataset[key] === undefined ? Infinity : Number(card.dataset[key]);
        const sign = key === "size" ? -1 : 1;
        at("cards").append(...cards.sort((a, b) => sign * (value(a) - value(b)) || a.dataset.cluster - b.dataset.cluster));
    });
    if (at("find")) at("find").addEventListener("input", () => {
        const wanted = at("find").value.trim().toLowerCase(), list = at("found");
        let n = 0;
        list.textContent = "";
        if (!wanted) return;
        for (let c = 0; c < data.names.length && n < 30; c++)
            for (let i = 0; i < data.names[c].length && n < 30; i++) {
                if (!data.names[c][i].toLowerCase().includes(wanted)) continue;
                const row = make("li"), link = make("a", cluster(c));
                link.href = "#c" + c;
                row.append(make("bdi", data.names[c][i]), " lies in ", link, ", confidence " + share(data.confidence[c][i]));
                list.append(row);
                n++;
            }
        if (!n) list.append(make("li", "No name on this page has this in it.", "muted"));
        else if (n === 30) list.append(make("li", "These are the first 30.", "muted"));
    });

    /* --- names of clusters: a file is made here and downloaded; nothing is sent ------------------- */
    const fields = all("input[data-cluster]"), leave = all("input[data-leave]");
    const clean = text => text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, " ").trim();
    const file = () => fields.map((field, i) => {
        const name = leave[i].checked ? "" : clean(field.value), c = field.dataset.cluster;
        return name || leave[i].checked ? c + "\t" + name + "\n" : "";
    }).join("");
    let saved = true;
    const changed = () => {
        saved = false;
        at("names-text").value = file();
        const n = fields.filter((f, i) => f.value !== f.defaultValue || leave[i].checked !== leave[i].defaultChecked).length;
        at("names-said").textContent = n + (n === 1 ? " cluster is" : " clusters are") + " edited.";
    };
    if (at("names-form")) {
        for (const input of fields.concat(leave)) input.addEventListener("input", changed);
        at("names-text").value = file();
        at("names-form").addEventListener("submit", event => {
            event.preventDefault();
            const link = make("a");
            link.href = URL.createObjectURL(new Blob([file()], { type: "text/tab-separated-values" }));
            link.download = "cluster_names.tsv";
            link.click();
            setTimeout(() => URL.revokeObjectURL(link.href), 10000);
            saved = true;
            at("names-said").textContent = "cluster_names.tsv was handed to the browser.";
        });
        addEventListener("beforeunload", event => { if (!saved) event.preventDefault(); });
    }

    /* --- a large confusion matrix: a canvas with a cell under the cursor -------------------------- */
    const canvas = at("matrix");
    if (canvas) {
        const columns = data.columns, n = Math.max(data.classes, columns.length), side = 1000, pen = canvas.getContext("2d"), say = at("matrix-said");
        const cells = data.confusion.map(row => {
            const cell = new Map();
            for (let i = 0, column = 0; i < row.length; i += 2) cell.set(column += row[i], row[i + 1]);
            return cell;
        });
        const matched = data.matched.map(y => columns.indexOf(y));
        const sums = cells.map(row => [...row.values()].reduce((a, b) => a + b, 0) || 1);
        let zoom = 1, x0 = 0, y0 = 0, cx = 0, cy = 0, held = null;
        canvas.width = canvas.height = side;
        const draw = () => {
            const style = getComputedStyle(document.documentElement), ramp = k => [1, 2, 3, 4, 5].map(i => style.getPropertyValue("--" + k + i));
            const right = ramp("g"), wrong = ramp("e"), size = side * zoom / n;
            x0 = Math.max(0, Math.min(n - n / zoom, x0));
            y0 = Math.max(0, Math.min(n - n / zoom, y0));
            pen.clearRect(0, 0, side, side);
            for (let y = Math.floor(y0); y < Math.min(cells.length, y0 + n / zoom); y++)
                for (const [x, count] of cells[y]) {
                    if (x < x0 - 1 || x > x0 + n / zoom) continue;
                    const part = count / sums[y], agrees = x === matched[y];
                    let step = agrees ? Math.min(4, Math.floor(part * 5)) : Math.min(4, Math.floor(part * 12));
                    if (size < 4) step = Math.max(step, 2); /* a dot needs a strong colour */
                    pen.fillStyle = (agrees ? right : wrong)[step];
                    pen.fillRect((x - x0) * size, (y - y0) * size, Math.max(1, size - (size > 6 ? 1 : 0)), Math.max(1, size - (size > 6 ? 1 : 0)));
                    if (size < 34) continue;
                    pen.fillStyle = style.getPropertyValue(step > 2 ? "--on" : "--ink");
                    pen.font = Math.min(26, size / 2.6) + "px system-ui, sans-serif";
                    pen.textAlign = "center";
                    pen.textBaseline = "middle";
                    pen.fillText(count, (x - x0 + .5) * size, (y - y0 + .5) * size);
                }
            pen.strokeStyle = style.getPropertyValue("--focus");
            pen.lineWidth = 2;
            pen.strokeRect((cx - x0) * size - 1, (cy - y0) * size - 1, Math.max(5, size + 1), Math.max(5, size + 1));
        };
        const tell = () => {
            say.textContent = cluster(cy) + " holds " + (cells[cy].get(cx) || 0) + " of label " + label(columns[cx]);
        };
        const look = () => { /* the cursor stays in sight */
            const span = n / zoom;
            if (cx < x0 || cx >= x0 + span) x0 = cx - span / 2;
            if (cy < y0 || cy >= y0 + span) y0 = cy - span / 2;
            draw();
            tell();
        };
        const scale = by => {
            zoom = Math.max(1, Math.min(n / 8, zoom * by));
            x0 = cx + .5 - n / zoom / 2;
            y0 = cy + .5 - n / zoom / 2;
            draw();
        };
        const cellAt = event => {
            const box = canvas.getBoundingClientRect(), span = n / zoom;
            return [x0 + (event.clientX - box.left) / box.width * span, y0 + (event.clientY - box.top) / box.height * span];
        };
        const put = (x, y) => {
            cx = Math.max(0, Math.min(columns.length - 1, Math.floor(x)));
            cy = Math.max(0, Math.min(cells.length - 1, Math.floor(y)));
        };
        canvas.addEventListener("keydown", event => {
            const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
            const step = event.shiftKey ? 10 : 1;
            if (move) { put(cx + move[0] * step, cy + move[1] * step); look(); }
            else if (event.key === "+" || event.key === "=") scale(1.6);
            else if (event.key === "-") scale(1 / 1.6);
            else if (event.key === "0") scale(0);
            else if (event.key === "Home") { put(matched[cy], cy); look(); }
            else return;
            event.preventDefault();
        });
        canvas.addEventListener("pointerdown", event => { held = { at: cellAt(event), moved: false }; canvas.setPointerCapture(event.pointerId); });
        canvas.addEventListener("pointermove", event => {
            const [x, y] = cellAt(event);
            if (!held) { put(x, y); draw(); tell(); return; }
            x0 += held.at[0] - x;
            y0 += held.at[1] - y;
            draw();
        });
        canvas.addEventListener("pointerup", event => { held = null; put(...cellAt(event)); look(); });
        canvas.addEventListener("pointercancel", () => { held = null; });
        canvas.addEventListener("wheel", event => {
            if (!event.ctrlKey && document.activeElement !== canvas) return; /* the wheel alone scrolls the page */
            event.preventDefault();
            put(...cellAt(event));
            scale(event.deltaY < 0 ? 1.25 : .8);
        }, { passive: false });
        at("closer").addEventListener("click", () => scale(1.6));
        at("farther").addEventListener("click", () => scale(1 / 1.6));
        at("whole").addEventListener("click", () => scale(0));
        matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
        draw();
    }

    /* --- the plane: colours, one group alone, the picture below the pointer ----------------------- */
    const plot = at("plot");
    if (plot) {
        const circles = all(".d", plot), ring = plot.querySelector(".picked");
        const where = circles.map(c => [Number(c.getAttribute("cx")), Number(c.getAttribute("cy"))]);
        let now = -1;
        const mode = () => plot.classList.contains("by-label") ? "label" : "cluster";
        const groups = () => {
            const choice = at("only"), chosen = choice.value, by = mode(), index = by === "label" ? 3 : 2;
            plot.classList.toggle("some", chosen !== "");
            circles.forEach((c, i) => c.classList.toggle("on", chosen !== "" && data.points[i][index] === Number(chosen)));
        };
        const list = () => {
            const choice = at("only"), by = mode(), index = by === "label" ? 3 : 2;
            const there = [...new Set(data.points.map(p => p[index]))].filter(i => i >= 0).sort((a, b) => a - b);
            choice.textContent = "";
            choice.append(new Option("all", ""), ...there.map(i => new Option(by === "label" ? "label " + label(i) : cluster(i), i)));
            groups();
        };
        for (const radio of all("input[name=colour]")) radio.addEventListener("change", () => {
            plot.classList.remove("by-cluster", "by-label");
            plot.classList.add("by-" + radio.value);
            list();
        });
        at("only").addEventListener("change", groups);
        const show = i => {
            if (i < 0 || i === now) return;
            now = i;
            const [sample, row, c, y, confidence, name] = data.points[i], box = at("point");
            ring.setAttribute("cx", where[i][0]);
            ring.setAttribute("cy", where[i][1]);
            ring.removeAttribute("visibility");
            box.textContent = "";
            const src = source(sample);
            if (src) {
                const img = make("img", undefined, "pic");
                img.alt = "";
                img.src = src;
                box.append(img);
            }
            const title = make("p"), rest = make("p", undefined, "muted");
            title.append(make("bdi", name === null ? "row " + row : name));
            rest.append(make("bdi", cluster(c)), ", confidence " + share(confidence));
            if (y >= 0) rest.append("; label ", make("bdi", label(y)));
            box.append(title, rest);
        };
        const nearest = (x, y, most, allowed) => {
            let best = -1, least = most * most;
            where.forEach(([px, py], i) => {
                const d = (px - x) ** 2 + (py - y) ** 2;
                if (d < least && allowed(px, py, i)) { least = d; best = i; }
            });
            return best;
        };
        for (const kind of ["pointermove", "pointerdown"]) plot.addEventListener(kind, event => {
            const box = plot.getBoundingClientRect(), view = plot.viewBox.baseVal;
            show(nearest((event.clientX - box.left) / box.width * view.width, (event.clientY - box.top) / box.height * view.height, 30, () => true));
        });
        plot.addEventListener("keydown", event => {
            const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
            if (!way) return;
            event.preventDefault();
            if (now < 0) { show(0); return; }
            const [x, y] = where[now];
            show(nearest(x, y, 1e4, (px, py, i) => {
                const along = (px - x) * way[0] + (py - y) * way[1], aside = Math.abs((px - x) * way[1]) + Math.abs((py - y) * way[0]);
                return i !== now && along > 0 && along >= aside;
            }));
        });
        plot.addEventListener("focus", () => { if (now < 0 && circles.length && plot.matches(":focus-visible")) show(0); });
        list();
    }
})();
