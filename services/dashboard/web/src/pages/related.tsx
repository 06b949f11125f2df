// SPDX-License-Identifier: Apache-2.0
// Payments that share something with this one: a picture of two hops, and the table.
import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { type CaseFile, type Entity, type Related, Refused, api } from "../api";
import { moment, money, percent } from "../format";
import { href } from "../route";
import { ActionChip, Chip, Fault, Loading, Panel } from "../ui";

const allEntities: Entity[] = ["card", "customer", "device", "ip", "merchant"];

export function RelatedPanel({ file }: { file: CaseFile }) {
  const id = file.case.case;
  const asked = useQuery({ queryKey: ["related", id], queryFn: ({ signal }) => api.related(id, signal), staleTime: 60000 });
  const [via, setVia] = useState<Entity | null>(null);
  const all = asked.data?.related ?? [];
  const shown = via ? all.filter((each) => each.via === via) : all;
  const known = all.filter((each) => each.is_fraud !== null);
  const frauds = known.filter((each) => each.is_fraud).length;
  if (asked.error instanceof Refused && asked.error.status === 404) return null;
  return (
    <Panel
      title="Related payments"
      flush
      tools={
        <span className="small muted">
          {all.length > 0 && `${all.length}${asked.data?.is_cut ? "+" : ""}, ${frauds} fraud of ${known.length} labelled`}
        </span>
      }
    >
      {asked.isPending && <Loading lines={5} />}
      {asked.error && <div className="body"><Fault error={asked.error} again={() => void asked.refetch()} /></div>}
      {asked.data && all.length === 0 && <p className="body muted">No other payment shares a card, customer, device, address or merchant with it.</p>}
      {all.length > 0 && (
        <>
          <div className="body row" role="group" aria-label="By what they share">
            <button type="button" className="button" aria-pressed={via === null} onClick={() => setVia(null)}>
              All
            </button>
            {allEntities.map((entity) => {
              const some = all.filter((each) => each.via === entity).length;
              return some > 0 ? (
                <button key={entity} type="button" className="button" aria-pressed={via === entity} onClick={() => setVia(entity)}>
                  {entity} <span className="muted">{some}</span>
                </button>
              ) : null;
            })}
          </div>
          <Web file={file} related={shown} />
          <div className="table-wrap" tabIndex={0} role="region" aria-label="Table of related payments">
            <table className="plain">
              <thead>
                <tr>
                  <th scope="col">When</th>
                  <th scope="col" className="num">Amount</th>
                  <th scope="col">Decided</th>
                  <th scope="col" className="num">Score</th>
                  <th scope="col">Shares</th>
                  <th scope="col">Label</th>
                  <th scope="col">Payment</th>
                </tr>
              </thead>
              <tbody>
                {shown.slice(0, 60).map((each) => (
                  <tr key={`${each.hop}/${each.via}/${each.transaction_id}`}>
                    <td className="nowrap">{moment(each.occurred_at)}</td>
                    <td className="num">{money(each.amount_minor, each.currency)}</td>
                    <td><ActionChip action={each.action} /></td>
                    <td className="num">{percent(each.score)}</td>
                    <td className="nowrap">{each.via}{each.hop === 2 && <span className="muted small"> 2 hops</span>}</td>
                    <td><Label is={each.is_fraud} /></td>
                    <td className="nowrap">
                      {each.case ? <a href={href(`cases/${each.case}`)}>{each.transaction_id}</a> : each.transaction_id}
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </>
      )}
    </Panel>
  );
}

function Label({ is }: { is: boolean | null }) {
  if (is === null) return <span className="muted">–</span>;
  return <Chip tone={is ? "bad" : "good"}>{is ? "fraud" : "legitimate"}</Chip>;
}

interface Dot {
  x: number;
  y: number;
  r: number;
  className: string;
  title: string;
}

/** The payment in the middle, what it shares around it, and the payments that share it outside. */
function Web({ file, related }: { file: CaseFile; related: Related[] }) {
  const { dots, edges, names } = useMemo(() => {
    const width = 640;
    const centre = { x: width / 2, y: 150 };
    const own: Record<Entity, string> = {
      card: file.case.card_id, customer: file.case.customer_id, device: file.case.device_id, ip: file.case.ip, merchant: file.case.merchant_id,
    };
    const near = allEntities.filter((entity) => own[entity]);
    const dots: Dot[] = [{ ...centre, r: 9, className: "self", title: "this payment" }];
    const edges: [number, number, number, number][] = [];
    const names: { x: number; y: number; text: string; title: string }[] = [];
    near.forEach((entity, i) => {
      const angle = -Math.PI / 2 + (2 * Math.PI * i) / near.length;
      const x = centre.x + Math.cos(angle) * 130;
      const y = centre.y + Math.sin(angle) * 70;
      edges.push([centre.x, centre.y, x, y]);
      const theirs = related.filter((each) => each.via === entity && (each.hop === 1 ? each.value === own[entity] : true)).slice(0, 14);
      const spread = Math.min(1.1, (2 * Math.PI) / near.length - 0.15);
      theirs.forEach((each, n) => {
        const at = angle + (theirs.length > 1 ? (n / (theirs.length - 1) - 0.5) * spread : 0);
        const reach = each.hop === 1 ? 1 : 1.22;
        const px = centre.x + Math.cos(at) * 240 * reach;
        const py = centre.y + Math.sin(at) * 112 * reach;
        edges.push([x, y, px, py]);
        dots.push({
          x: px, y: py, r: 5,
          className: each.is_fraud === null ? "node" : each.is_fraud ? "fraud" : "legit",
          title: `${each.transaction_id}, ${money(each.amount_minor, each.currency)}`,
        });
      });
      dots.push({ x, y, r: 7, className: "entity", title: own[entity] });
      names.push({ x, y: y - 11, text: entity, title: own[entity] });
    });
    return { dots, edges, names };
  }, [file, related]);
  return (
    <div className="body">
      <svg className="web" viewBox="0 0 640 300" role="img" aria-label="What this payment shares with others; the table below tells the same">
        {edges.map(([x1, y1, x2, y2], i) => (
          <line key={i} className="edge" x1={x1} y1={y1} x2={x2} y2={y2} />
        ))}
        {dots.map((dot, i) => (
          <circle key={i} className={dot.className} cx={dot.x} cy={dot.y} r={dot.r}>
            <title>{dot.title}</title>
          </circle>
        ))}
        {names.map((name) => (
          <text key={name.text} x={name.x} y={name.y} textAnchor="middle">
            {name.text}
          </text>
        ))}
      </svg>
      <div className="legend">
        <span><i className="dot bad" />fraud</span>
        <span><i className="dot good" />legitimate</span>
        <span><i className="dot muted" />no label</span>
      </div>
    </div>
  );
}
