"""How pages look, on screens wide and narrow, light and dark, and on paper; and their slider."""

from __future__ import annotations

#: Series are told apart by colour, dashes and signs. The colours keep their distance for the
#: colour-blind, and have enough contrast on both grounds.
_LIGHT = ("#1a5fa0", "#b4520a", "#12795a", "#8d3f97", "#a4262c", "#00727f", "#6b5b00", "#555b66")
_DARK = ("#7ab8f5", "#f0a35e", "#5fd0a5", "#d79be2", "#f28b8f", "#5ccbd8", "#d8c25a", "#b3bac6")
_DASHES = ("none", "7 3", "2 3", "9 3 2 3", "4 2", "12 4", "2 6", "5 1")


def _colours(values: tuple[str, ...], **others: str) -> str:
    named = {**{f"s{number}": value for number, value in enumerate(values)}, **others}
    return "".join(f"--{name}:{value};" for name, value in named.items())


_ON_LIGHT = _colours(
    _LIGHT, ground="#ffffff", ink="#1d2127", soft="#565d68", line="#d5d9df", panel="#f4f6f8",
    heat="26 95 160",
)  # fmt: skip
_ON_DARK = _colours(
    _DARK, ground="#15181c", ink="#e6e9ed", soft="#a6aeb9", line="#3a414b", panel="#1f242a",
    heat="122 184 245",
)  # fmt: skip

_SERIES = "".join(
    f".s{n}{{stroke:var(--s{n});color:var(--s{n})}}path.s{n}{{stroke-dasharray:{dash}}}"
    for n, dash in enumerate(_DASHES)
)
_HEAT = "".join(f".h{n}{{fill-opacity:{n / 8:g}}}" for n in range(1, 9))

STYLE = f"""
:root{{color-scheme:light dark;{_ON_LIGHT}}}
@media (prefers-color-scheme:dark){{:root{{{_ON_DARK}}}}}
*{{box-sizing:border-box}}
body{{margin:0;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,sans-serif}}
main,header,footer{{max-width:60rem;margin:0 auto;padding:0 1rem;overflow-wrap:anywhere}}
h1{{font-size:1.7rem;line-height:1.2;margin:1.5rem 0 .5rem}}
h2{{font-size:1.25rem;margin:2.2rem 0 .6rem;padding-bottom:.2rem;
border-bottom:1px solid var(--line)}}
h3{{font-size:1rem;margin:1.4rem 0 .3rem}}
p{{margin:.5rem 0;max-width:46rem}}
a{{color:var(--s0)}}
.note,footer,figcaption,caption{{color:var(--soft);font-size:.9rem}}
nav ul{{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;padding:0;margin:.8rem 0;list-style:none}}
dl.facts{{display:grid;
grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.6rem;margin:1rem 0}}
dl.facts div{{background:var(--panel);
border:1px solid var(--line);border-radius:.4rem;padding:.5rem .7rem}}
dl.facts dt{{color:var(--soft);font-size:.85rem}}
dl.facts dd{{margin:0;font-size:1.25rem;font-weight:600}}
.wide{{overflow-x:auto;margin:.8rem 0}}
table{{border-collapse:collapse;min-width:min(18rem,100%);font-size:.92rem;font-variant-numeric:tabular-nums}}
caption{{text-align:left;padding-bottom:.3rem}}
th,td{{padding:.2rem .7rem;text-align:right;
border-bottom:1px solid var(--line);overflow-wrap:normal}}
th.word,td.word{{text-align:left;max-width:24rem}}
.long{{overflow-wrap:anywhere;min-width:9rem}}
th{{font-weight:600}}tbody th{{font-weight:400}}
td.heat{{background:rgb(var(--heat)/var(--a));text-align:center;padding:.2rem .5rem}}
@media (max-width:30rem){{table{{font-size:.82rem}}th,td{{padding:.2rem .25rem}}
td.heat{{padding:.2rem .1rem}}}}
td.right{{outline:1px solid var(--soft);outline-offset:-1px}}
pre{{background:var(--panel);border:1px solid var(--line);border-radius:.4rem;padding:.7rem;
white-space:pre-wrap;overflow-wrap:anywhere;font-size:.9rem}}
pre,code{{font-family:ui-monospace,monospace}}
figure{{margin:.8rem 0;padding:0;min-width:0}}
.charts{{display:grid;
grid-template-columns:repeat(auto-fit,minmax(min(24rem,100%),1fr));gap:1rem 1.5rem}}
svg.chart{{display:block;width:100%;max-width:34rem;height:auto}}
svg text{{fill:var(--ink);font:13px system-ui,sans-serif;stroke:none}}
svg .cell{{text-anchor:middle;paint-order:stroke;stroke:var(--ground);stroke-width:3px}}
svg .soft{{fill:var(--soft)}}
svg .grid{{stroke:var(--line);stroke-width:1;fill:none}}
svg .plain{{stroke:var(--ink);stroke-width:1;fill:none;stroke-dasharray:5 4}}
svg .band{{fill:var(--ink);fill-opacity:.1;stroke:none}}
svg .curve{{fill:none;stroke-width:2;stroke-linejoin:round}}
svg .sign{{stroke-width:1.5;fill:var(--ground)}}
svg .dot{{fill:currentColor;fill-opacity:.55;stroke:none}}
svg .bar{{fill:currentColor;stroke:none}}
{_SERIES}
svg.heat{{display:block;background:var(--panel);border:1px solid var(--line);
shape-rendering:crispEdges;fill:rgb(var(--heat))}}
{_HEAT}
ul.legend{{display:flex;
flex-wrap:wrap;gap:.1rem 1.1rem;padding:0;margin:.2rem 0;list-style:none;font-size:.9rem}}
ul.legend svg{{width:34px;height:12px;vertical-align:middle;margin-right:.35rem}}
.frames,.samples{{display:flex;flex-wrap:wrap;gap:.6rem 1rem}}
.frames figure{{width:8.5rem;margin:0}}.frames svg.heat{{width:100%;height:auto}}
.frames.one figure{{display:none}}
.frames.one figure.now{{display:block;width:min(22rem,100%)}}
.slider{{display:block;max-width:22rem;margin:.5rem 0}}.slider input{{width:100%}}
.samples figure{{width:6.6rem;margin:0}}
.samples img{{width:100%;height:auto;image-rendering:pixelated;
border:1px solid var(--line);background:#000}}
.samples figcaption{{line-height:1.25;font-size:.82rem}}
.strip svg.heat{{width:100%;height:14rem}}
footer{{margin-top:3rem;padding-bottom:2rem}}p.printed{{display:none}}
@media print{{
:root{{color-scheme:light;{_ON_LIGHT}}}
body{{font-size:10.5pt}}main,header,footer{{max-width:none}}nav,.slider,svg .cell{{display:none}}
.frames.one figure,.frames.one figure.now{{display:block;width:7rem}}
.frames figure.between{{display:none}}p.printed{{display:block}}
.wide{{overflow:visible}}footer{{margin-top:1rem;padding:0}}
h2,h3,caption{{break-after:avoid}}figure,tr,dl.facts div{{break-inside:avoid}}
.charts{{grid-template-columns:1fr 1fr}}
@page{{margin:16mm}}
}}
"""

#: Where scripts run, one picture of several is shown, and a slider chooses which.
SCRIPT = """
for (const box of document.querySelectorAll(".frames")) {
  const all = [...box.querySelectorAll("figure")];
  if (all.length < 3) continue;
  const label = document.createElement("label"), slider = document.createElement("input");
  label.className = "slider";
  label.append(box.dataset.label, slider);
  Object.assign(slider, {type: "range", min: 0, max: all.length - 1, value: all.length - 1});
  const show = () => {
    all.forEach((figure, at) => figure.classList.toggle("now", at == slider.value));
    slider.setAttribute("aria-valuetext", all[slider.value].textContent.trim());
  };
  slider.addEventListener("input", show);
  box.classList.add("one");
  box.before(label);
  show();
}
"""
