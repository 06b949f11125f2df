// SPDX-License-Identifier: Apache-2.0
// One subject: what was found in words, how it lies in its bins beside the reference, and its last windows with the
// noise floor of each.
import { useQuery } from "@tanstack/react-query";
import { Suspense, lazy, useMemo, useState } from "react";
import { type Histogram, type Judging, type Verdict, watch } from "../api/drift";
import { saveCsv } from "../csv";
import { count, moment, percent } from "../format";
import { Icon } from "../icons";
import { Fault, Loading, Panel } from "../ui";
import { figure } from "./drift_figures";

const Chart = lazy(() => import("./drift_chart"));

const figures = [
  { name: "JS", value: "js", critical: "js_critical", format: figure },
  { name: "PSI", value: "psi", critical: "psi_critical", format: figure },
  { name: "Missing", value: "missing", critical: "missing_critical", format: percent },
  { name: "Unseen", value: "unseen", critical: "unseen_critical", format: percent },
] as const;

const windowsMost = 100;

interface Props {
  the: Verdict;
  lane: number;
  version: number;
  judging: Judging;
  onClose: () => void;
}

export default function Subject({ the, lane, version, onClose }: Props) {
  const asked = useQuery({
    queryKey: ["drift", "subject", lane, version, the.kind, the.field, the.name],
    queryFn: ({ signal }) => watch.subject(the, lane, version, windowsMost, signal),
    refetchInterval: 30000,
  });
  return (
    <Panel
      title={the.field && the.kind !== "field" ? `${the.name} (${the.field})` : the.name}
      tools={
        <>
          <button
            type="button" className="button quiet" disabled={!asked.data}
            onClick={() => asked.data && saveCsv(`drift-${the.name.replace(/\W+/g, "_")}.csv`, csvColumns, asked.data.windows)}
          >
            CSV
          </button>
          <button type="button" className="button quiet icon" aria-label="Close the subject" onClick={onClose}>
            <Icon name="close" />
          </button>
        </>
      }
    >
      <div className="stack">
        {the.text && <p>{the.text}</p>}
        {asked.error && <Fault error={asked.error} again={() => void asked.refetch()} />}
        {asked.isPending && <Loading lines={8} />}
        {asked.data && <Windows windows={asked.data.windows} />}
        {asked.data && <Bins the={asked.data.histogram} />}
      </div>
    </Panel>
  );
}

function Windows({ windows }: { windows: Verdict[] }) {
  const there = figures.filter((each) => windows.some((window) => window[each.value] !== null));
  const [name, setName] = useState<string>("JS");
  const the = there.find((each) => each.name === name) ?? there[0];
  const data = useMemo(() => {
    if (!the) return null;
    const rising = [...windows].reverse();
    return {
      x: rising.map((window) => window.window),
      lines: [
        { label: "noise floor", values: rising.map((window) => window[the.critical]), colour: "muted" as const, isFloor: true },
        { label: the.name, values: rising.map((window) => window[the.value]), colour: "accent" as const },
      ],
    };
  }, [windows, the]);
  if (!the || !data) return <p className="muted">None of its windows had enough decisions to be judged.</p>;
  return (
    <div>
      <div className="row">
        <h3 className="grow">Last {count(windows.length)} windows</h3>
        <div className="row" role="group" aria-label="Figure">
          {there.map((each) => (
            <button key={each.name} type="button" className="button quiet" aria-pressed={each === the} onClick={() => setName(each.name)}>
              {each.name}
            </button>
          ))}
        </div>
      </div>
      <Suspense fallback={<div className="chart drift-chart" />}>
        <Chart
          key={the.name} label={`${the.name} of each window and its noise floor`} x={data.x} lines={data.lines} format={the.format}
          formatX={(at) => `window ${at}`}
        />
      </Suspense>
    </div>
  );
}

function Bins({ the }: { the: Histogram | null }) {
  if (!the) return <p className="muted small">The counts of its newest window are not kept any more.</p>;
  const share = (part: number, whole: number) => (whole > 0 ? part / whole : 0);
  const most = Math.max(...the.bins.map((bin) => Math.max(share(bin.reference, the.reference_rows), share(bin.now, the.rows))), 1e-9);
  const width = (part: number, whole: number) => `${(100 * share(part, whole)) / most}%`;
  return (
    <div>
      <h3>How it lies in its bins</h3>
      <p className="small muted">
        Window {count(the.window)}, until {moment(the.at)}: {count(the.rows)} decisions; {count(the.reference_rows)} in the reference.
      </p>
      <div className="table-wrap" tabIndex={0} role="region" aria-label="Table of bins">
        <table className="plain bins">
          <thead>
            <tr>
              <th scope="col">Value</th>
              <th scope="col" className="num">Reference</th>
              <th scope="col" className="num">Now</th>
              <th scope="col"><span className="bin-key reference">reference</span> <span className="bin-key now">now</span></th>
            </tr>
          </thead>
          <tbody>
            {the.bins.map((bin, i) => (
              <tr key={i}>
                <th scope="row">{bin.text}</th>
                <td className="num muted">{percent(share(bin.reference, the.reference_rows))}</td>
                <td className="num">{percent(share(bin.now, the.rows))}</td>
                <td>
                  <span className="bin-bars" aria-hidden="true">
                    <span className="reference" style={{ width: width(bin.reference, the.reference_rows) }} />
                    <span className="now" style={{ width: width(bin.now, the.rows) }} />
                  </span>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </div>
  );
}

const csvColumns = [
  "window", "at", "rows", "js", "js_critical", "psi", "psi_critical", "missing", "missing_critical", "unseen", "unseen_critical", "is_beyond", "is_alarm",
] as const satisfies readonly (keyof Verdict)[];
