// SPDX-License-Identifier: Apache-2.0
// Decisions a minute, stacked by action. The picture says nothing that the figures beside it do not.
import { useEffect, useMemo, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import type { Overview } from "../api";
import { actionTone, allActions } from "../ui";

// What is rare lies at the bottom, where its height can be read.
const upwards = [...allActions].reverse();
const time = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });

/** Every minute of the span; one in which nothing was decided is not sent. */
function everyMinute(the: Overview): Overview["series"] {
  const minute = 60000;
  const last = Math.floor(Date.parse(the.now) / minute);
  const sent = new Map(the.series.map((each) => [Math.floor(Date.parse(each.at) / minute), each]));
  return Array.from({ length: the.minutes + 1 }, (_, i) => {
    const at = last - the.minutes + i;
    return sent.get(at) ?? { at: new Date(at * minute).toISOString(), actions: {}, amounts_base_minor: {} };
  });
}

export default function ActionChart({ the }: { the: Overview }) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const data = useMemo(() => {
    const series = everyMinute(the);
    const times = series.map((each) => Date.parse(each.at) / 1000);
    // The lowest layer is drawn last: each line is the sum of what lies below it.
    const sums = upwards.map((_, upTo) =>
      series.map((each) => upwards.slice(0, upTo + 1).reduce((sum, action) => sum + (each.actions[action] ?? 0), 0)),
    );
    return [times, ...sums.reverse()] as uPlot.AlignedData;
  }, [the]);
  const latest = useRef(data);
  latest.current = data;

  useEffect(() => {
    const element = box.current!;
    const draw = () => {
      plot.current?.destroy();
      const style = getComputedStyle(document.documentElement);
      const colour = (name: string) => style.getPropertyValue(`--${name}`).trim();
      const axis: uPlot.Axis = {
        stroke: colour("muted"),
        grid: { stroke: colour("line"), width: 1 },
        ticks: { show: false },
        font: "11px system-ui, sans-serif",
      };
      plot.current = new uPlot(
        {
          width: element.clientWidth,
          height: element.clientHeight,
          legend: { show: false },
          cursor: { drag: { x: false, y: false } },
          scales: { y: { range: (_plot, _min, max) => [0, Math.max(1, max * 1.05)] } },
          axes: [
            { ...axis, size: 30, space: 80, values: (_plot, at) => at.map((second) => time.format(second * 1000)) },
            { ...axis, size: 48 },
          ],
          series: [
            {},
            ...allActions.map((action) => ({
              label: action,
              stroke: colour(actionTone[action]),
              fill: colour(`${actionTone[action]}-bg`),
              width: 1.5,
              points: { show: false },
            })),
          ],
        },
        latest.current,
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
  }, []);
  useEffect(() => plot.current?.setData(data), [data]);
  return <div className="chart" ref={box} role="img" aria-label="Decisions a minute by action" />;
}
