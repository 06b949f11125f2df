// SPDX-License-Identifier: Apache-2.0
// Curves over a number: each line has its own x. The picture says nothing that the figures beside it, or its CSV, do not.
import { useEffect, useMemo, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { saveCsv } from "../csv";

/** A token of style.css. */
export type Colour = "accent" | "good" | "info" | "warn" | "bad" | "muted" | "line-strong";

export interface Curve {
  label: string;
  colour: Colour;
  x: number[];
  y: (number | null)[];
  dash?: boolean;
  points?: boolean;
}

interface Props {
  label: string;
  curves: Curve[];
  /** Upright lines: a threshold that is in force. */
  marks?: { x: number; label: string; colour: Colour }[];
  xText: (value: number) => string;
  yText: (value: number) => string;
  xTitle: string;
  xRange?: [number, number];
  yRange?: [number, number];
  /** x by powers of ten. */
  isLog?: boolean;
}

function joined(curves: Curve[]): uPlot.AlignedData {
  const sorted = curves.map((curve) => {
    const order = curve.x.map((_, i) => i).sort((a, b) => curve.x[a]! - curve.x[b]!);
    const kept = order.filter((at, i) => i === 0 || curve.x[at] !== curve.x[order[i - 1]!]);
    return [kept.map((i) => curve.x[i]!), kept.map((i) => curve.y[i] ?? null)] as uPlot.AlignedData;
  });
  return sorted.length ? uPlot.join(sorted) : [[]];
}

export default function ModelsChart(props: Props) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const data = useMemo(() => joined(props.curves), [props.curves]);
  const latest = useRef({ props, data });
  latest.current = { props, data };
  const shape = props.curves.map((curve) => `${curve.label}/${curve.colour}/${curve.dash}/${curve.points}`).join("\n");

  useEffect(() => {
    const element = box.current!;
    const draw = () => {
      plot.current?.destroy();
      const now = latest.current.props;
      const style = getComputedStyle(document.documentElement);
      const colour = (name: string) => style.getPropertyValue(`--${name}`).trim();
      const axis: uPlot.Axis = {
        stroke: colour("muted"), grid: { stroke: colour("line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif",
      };
      const mark = (drawn: uPlot) => {
        const { ctx, bbox } = drawn;
        for (const [line, each] of (latest.current.props.marks ?? []).entries()) {
          const x = drawn.valToPos(each.x, "x", true);
          if (!(x >= bbox.left && x <= bbox.left + bbox.width)) continue;
          ctx.save();
          ctx.strokeStyle = colour(each.colour);
          ctx.fillStyle = colour("text");
          ctx.lineWidth = 1.5 * devicePixelRatio;
          ctx.setLineDash([4 * devicePixelRatio, 3 * devicePixelRatio]);
          ctx.beginPath();
          ctx.moveTo(x, bbox.top);
          ctx.lineTo(x, bbox.top + bbox.height);
          ctx.stroke();
          ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
          const isRight = x > bbox.left + bbox.width * 0.6;
          ctx.textAlign = isRight ? "right" : "left";
          ctx.fillText(each.label, x + (isRight ? -5 : 5) * devicePixelRatio, bbox.top + bbox.height - (6 + 14 * line) * devicePixelRatio);
          ctx.restore();
        }
      };
      plot.current = new uPlot(
        {
          width: element.clientWidth,
          height: element.clientHeight,
          legend: { show: false },
          cursor: { drag: { x: false, y: false } },
          scales: {
            x: { time: false, distr: now.isLog ? 3 : 1, range: (_plot, min, max) => now.xRange ?? (min === max ? [min - 1, max + 1] : [min, max]) },
            y: { range: (_plot, min, max) => now.yRange ?? [Math.min(0, min ?? 0), (max ?? 1) > 0 ? (max ?? 1) * 1.06 : 1] },
          },
          axes: [
            { ...axis, size: 26, space: 60, label: now.xTitle, labelSize: 18, labelFont: "11px system-ui, sans-serif", values: (_plot, at) => at.map((value) => (value === null ? "" : now.xText(value))) },
            { ...axis, size: 90, values: (_plot, at) => at.map((value) => now.yText(value)) },
          ],
          series: [
            {},
            ...now.curves.map((curve) => ({
              label: curve.label,
              stroke: colour(curve.colour),
              width: 2,
              dash: curve.dash ? [5, 4] : undefined,
              points: { show: curve.points ?? false, size: 7, fill: colour(curve.colour) },
              spanGaps: true,
            })),
          ],
          hooks: { draw: [mark] },
        },
        latest.current.data,
        element,
      );
    };
    draw();
    const sized = new ResizeObserver(() => plot.current?.setSize({ width: element.clientWidth, height: element.clientHeight }));
    sized.observe(element);
    const media = window.matchMedia("(prefers-color-scheme: dark)");
    media.addEventListener("change", draw);
    window.addEventListener("assay-theme", draw);
    return () => {
      sized.disconnect();
      media.removeEventListener("change", draw);
      window.removeEventListener("assay-theme", draw);
      plot.current?.destroy();
      plot.current = null;
    };
  }, [shape]);
  useEffect(() => plot.current?.setData(data), [data]);
  return (
    <figure className="curves">
      <figcaption className="row">
        <h3 className="grow">{props.label}</h3>
        <button type="button" className="button quiet" aria-label={`CSV: ${props.label}`} onClick={() => saveCurves(props)}>
          CSV
        </button>
      </figcaption>
      <div className="legend">
        {props.curves.map((curve) => (
          <span key={curve.label}>
            <span className={`curve-key ${curve.colour} ${curve.dash ? "dashed" : ""}`} aria-hidden="true" />
            {curve.label}
          </span>
        ))}
      </div>
      <div className="chart" ref={box} role="img" aria-label={props.label} />
    </figure>
  );
}

function saveCurves({ label, curves }: Props): void {
  const rows = curves.flatMap((curve) => curve.x.map((x, i) => ({ curve: curve.label, x, y: curve.y[i] ?? "" })));
  saveCsv(`${label.toLowerCase().replace(/[^a-z0-9]+/g, "-")}.csv`, ["curve", "x", "y"], rows);
}
