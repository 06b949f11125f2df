// SPDX-License-Identifier: Apache-2.0
// Lines over time or over windows, with a band of noise below them, and a stretch of which the truth is still to come,
// hatched. The picture says nothing that the table beside it does not.
import { useEffect, useMemo, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

export interface Line {
  label: string;
  values: (number | null)[];
  /** A token of style.css. */
  colour: "accent" | "good" | "info" | "warn" | "bad" | "muted" | "line-strong";
  dash?: boolean;
  /** Filled down to the axis: a floor below which a figure says nothing. */
  isFloor?: boolean;
  /** Drawn as points alone. */
  points?: boolean;
}

interface Props {
  label: string;
  /** Seconds since the epoch with `isTime`, else plain numbers, rising. */
  x: number[];
  isTime?: boolean;
  lines: Line[];
  format: (value: number) => string;
  formatX?: (value: number) => string;
  /** From this x on the picture is hatched. */
  hatchedFrom?: number | null;
  /** The least that the axis reaches to. */
  least?: number;
}

/** Each label once: ticks that lie closer than it can tell apart have none. */
const told = (labels: string[]) => labels.map((label, i) => (label === labels[i - 1] ? "" : label));

const dayText = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", timeZone: "UTC" });

// Between two ticks: hours and days, in seconds.
const steps = [1, 2, 3, 6, 12, 24, 48, 7 * 24, 14 * 24, 28 * 24, 56 * 24].map((hours) => hours * 3600);

function hatch(plot: uPlot, from: number, colour: string): void {
  const { ctx, bbox } = plot;
  const left = Math.max(bbox.left, plot.valToPos(from, "x", true));
  const right = bbox.left + bbox.width;
  if (left >= right) return;
  ctx.save();
  ctx.beginPath();
  ctx.rect(left, bbox.top, right - left, bbox.height);
  ctx.clip();
  ctx.strokeStyle = colour;
  ctx.lineWidth = 1;
  const step = 9 * devicePixelRatio;
  ctx.beginPath();
  for (let x = left - bbox.height; x < right; x += step) {
    ctx.moveTo(x, bbox.top + bbox.height);
    ctx.lineTo(x + bbox.height, bbox.top);
  }
  ctx.stroke();
  ctx.restore();
}

export default function DriftChart(props: Props) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const data = useMemo(() => [props.x, ...props.lines.map((line) => line.values)] as uPlot.AlignedData, [props.x, props.lines]);
  const latest = useRef({ props, data });
  latest.current = { props, data };
  const shape = props.lines.map((line) => `${line.label}/${line.colour}/${line.dash}/${line.points}`).join("\n");

  useEffect(() => {
    const element = box.current!;
    const draw = () => {
      plot.current?.destroy();
      const { props: now } = latest.current;
      const style = getComputedStyle(document.documentElement);
      const colour = (name: string) => style.getPropertyValue(`--${name}`).trim();
      const axis: uPlot.Axis = {
        stroke: colour("muted"),
        grid: { stroke: colour("line"), width: 1 },
        ticks: { show: false },
        font: "11px system-ui, sans-serif",
      };
      const textX = (value: number) => latest.current.props.formatX?.(value) ?? dayText.format(value * 1000);
      plot.current = new uPlot(
        {
          width: element.clientWidth,
          height: element.clientHeight - 26,
          cursor: { drag: { x: false, y: false } },
          scales: {
            x: { time: false, range: (_plot, min, max) => (min === max ? [min - 1, max + 1] : [min, max]) },
            y: { range: (_plot, _min, max) => [0, Math.max(latest.current.props.least ?? 0, (max ?? 0) * 1.08) || 1] },
          },
          axes: [
            { ...axis, size: 28, space: now.isTime && now.formatX ? 120 : 70, incrs: now.isTime ? steps : undefined, values: (_plot, at) => told(at.map((value) => (Number.isInteger(value) ? textX(value) : ""))) },
            { ...axis, size: 58, values: (_plot, at) => told(at.map((value) => latest.current.props.format(value))) },
          ],
          series: [
            { label: now.isTime && !now.formatX ? "Day" : "At", value: (_plot, value) => (value === null ? "–" : textX(value)) },
            ...now.lines.map((line) => ({
              label: line.label,
              stroke: colour(line.colour),
              fill: line.isFloor ? `${colour(line.colour)}22` : undefined,
              width: line.points ? 0 : line.isFloor ? 1 : 2,
              dash: line.dash ? [5, 4] : undefined,
              points: { show: line.points || undefined, size: 6, fill: colour(line.colour) },
              spanGaps: false,
              value: (_plot: uPlot, value: number | null) => (value === null ? "–" : latest.current.props.format(value)),
            })),
          ],
          hooks: {
            drawClear: [
              (drawn: uPlot) => {
                const from = latest.current.props.hatchedFrom;
                if (from !== undefined && from !== null) hatch(drawn, from, colour("line"));
              },
            ],
          },
        },
        latest.current.data,
        element,
      );
    };
    draw();
    const sized = new ResizeObserver(() => plot.current?.setSize({ width: element.clientWidth, height: element.clientHeight - 26 }));
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
  return <div className="chart drift-chart" ref={box} role="img" aria-label={props.label} />;
}
