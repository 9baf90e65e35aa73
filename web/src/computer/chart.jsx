// SPDX-License-Identifier: Apache-2.0
// One uPlot chart. Lines differ by dash as well as by colour.
import uPlot from 'uplot';
import { useEffect, useRef } from 'preact/hooks';

const DASHES = [[], [6, 4], [2, 3]];
const two = (n) => String(n).padStart(2, '0');

/** A round upper end, so that the axis does not dance. */
function ceiling(v, binary) {
  if (!(v > 0)) return binary ? 1024 : 1;
  const base = binary ? 1024 ** Math.floor(Math.log(v) / Math.log(1024)) : 10 ** Math.floor(Math.log10(v));
  const steps = binary ? [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024] : [1, 2, 5, 10];
  return base * steps.find((s) => s * base >= v);
}

function options(chart, max, width, colors) {
  const axis = { stroke: () => colors().soft, grid: { stroke: () => colors().line, width: 1 }, ticks: { show: false }, font: '11px system-ui, sans-serif' };
  return {
    width, height: 150, padding: [8, 4, 0, 0],
    legend: { show: false }, cursor: { y: false, points: { size: 7 }, drag: { x: false, y: false } },
    scales: { x: { time: true, range: (_, from, to) => [Math.min(from, to - 600), to] }, y: { range: (_, __, top) => [0, max ?? ceiling(top * 1.05, chart.binary)] } },
    axes: [
      { ...axis, size: 24, space: 70, incrs: [60, 120, 300, 600, 900, 1800], values: (_, at) => at.map((t) => { const d = new Date(t * 1000); return `${two(d.getHours())}:${two(d.getMinutes())}`; }) },
      { ...axis, size: 66, splits: (u) => { const top = u.scales.y.max; return [0, top / 2, top]; }, values: (_, at) => at.map((v) => chart.format(v)) },
    ],
    series: [{}, ...chart.lines.map((l, n) => ({
      label: l.name, width: 1.8, dash: DASHES[n], points: { show: false },
      stroke: () => [colors().accent, colors().busy, colors().soft][n],
      fill: chart.lines.length === 1 ? () => `color-mix(in srgb, ${colors().accent} 16%, transparent)` : undefined,
    }))],
  };
}

export default function Chart({ chart, items, max, label }) {
  const box = useRef(null);
  const plot = useRef(null);
  useEffect(() => {
    const style = getComputedStyle(document.documentElement);
    const colors = () => Object.fromEntries(['accent', 'busy', 'soft', 'line'].map((c) => [c, style.getPropertyValue(`--${c}`).trim()]));
    const el = box.current;
    const u = new uPlot(options(chart, max, el.clientWidth, colors), dataOf(chart, items), el);
    plot.current = u;
    const sized = new ResizeObserver(() => el.clientWidth && u.setSize({ width: el.clientWidth, height: 150 }));
    sized.observe(el);
    const dark = matchMedia('(prefers-color-scheme: dark)');
    const redraw = () => u.redraw();
    dark.addEventListener('change', redraw);
    return () => {
      dark.removeEventListener('change', redraw);
      sized.disconnect();
      u.destroy();
      plot.current = null;
    };
  }, [chart.id, max]);
  useEffect(() => plot.current?.setData(dataOf(chart, items)), [items]);
  return <div class="chart" ref={box} role="img" aria-label={label} />;
}

const dataOf = (chart, items) => [items.map((s) => Date.parse(s.time) / 1000), ...chart.lines.map((l) => items.map((s) => s[l.key] ?? null))];
