// SPDX-License-Identifier: Apache-2.0
// How much each entity of a payment did before it: four windows that end at the payment, 30 steps each.
import { useQuery } from "@tanstack/react-query";
import { Refused, type Series, api } from "../api";
import { compact, money } from "../format";
import { useBaseCurrency } from "../session";
import { Fault, Loading, Panel } from "../ui";

const windowText = (seconds: number): string =>
  seconds < 3600 ? `${seconds / 60} min` : seconds <= 86400 ? `${seconds / 3600} h` : `${seconds / 86400} d`;

export default function VelocityPanel({ id }: { id: number }) {
  const asked = useQuery({ queryKey: ["velocity", id], queryFn: ({ signal }) => api.velocity(id, signal), staleTime: 60000 });
  const series = asked.data?.series ?? [];
  const entities = [...new Set(series.map((each) => each.entity))];
  const windows = [...new Set(series.map((each) => each.window_s))].sort((a, b) => a - b);
  if (asked.error instanceof Refused && asked.error.status === 404) return null;
  return (
    <Panel title="Before this payment">
      {asked.isPending && <Loading lines={4} />}
      {asked.error && <Fault error={asked.error} again={() => void asked.refetch()} />}
      {asked.data && series.length === 0 && <p className="muted">Nothing is known of its entities.</p>}
      {series.length > 0 && (
        <div className="sparks" role="table" aria-label="Payments before this one">
          <div role="row" style={{ display: "contents" }}>
            <span role="columnheader"><span className="hidden">Entity</span></span>
            {windows.map((seconds) => (
              <span role="columnheader" className="small muted" key={seconds}>
                {windowText(seconds)}
              </span>
            ))}
          </div>
          {entities.map((entity) => (
            <div role="row" key={entity} style={{ display: "contents" }}>
              <span role="rowheader" className="cut" title={series.find((each) => each.entity === entity)?.value}>
                {entity}
              </span>
              {windows.map((seconds) => (
                <span role="cell" key={seconds}>
                  <Spark series={series.find((each) => each.entity === entity && each.window_s === seconds)} />
                </span>
              ))}
            </div>
          ))}
        </div>
      )}
    </Panel>
  );
}

function Spark({ series }: { series: Series | undefined }) {
  const base = useBaseCurrency();
  if (!series) return <span className="muted">–</span>;
  const payments = series.counts.reduce((sum, each) => sum + each, 0);
  const amount = series.amounts_base_minor.reduce((sum, each) => sum + each, 0);
  const most = Math.max(...series.counts, 1);
  const step = 100 / Math.max(1, series.counts.length - 1);
  const points = series.counts.map((each, i) => `${(i * step).toFixed(1)},${(23 - (each / most) * 20).toFixed(1)}`);
  return (
    <>
      <svg viewBox="0 0 100 24" preserveAspectRatio="none" aria-hidden="true">
        <polygon className="area" points={`0,24 ${points.join(" ")} 100,24`} />
        <polyline className="line" points={points.join(" ")} />
      </svg>
      <span className="small" title={`${payments} payments, ${money(amount, base)}`}>
        {compact(payments)} <span className="muted nowrap">{money(amount, base, true)}</span>
      </span>
    </>
  );
}
