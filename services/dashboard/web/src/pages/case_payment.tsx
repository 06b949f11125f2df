// SPDX-License-Identifier: Apache-2.0
// What the payment says of itself, in words or as it is.
import { type ReactNode, useState } from "react";
import type { CaseFile } from "../api";
import { moment } from "../format";
import { href } from "../route";
import { Panel } from "../ui";

const factOrder = [
  "transaction_id", "occurred_at", "customer_id", "card_id", "merchant_id", "terminal_id", "mcc", "channel", "country", "ip",
  "device_id", "email_hash",
];

export default function PaymentPanel({ file }: { file: CaseFile }) {
  const the = file.case;
  const [isRaw, setRaw] = useState(false);
  const { decision } = file;
  const facts = factOrder.filter((name) => file.payment[name] !== null && file.payment[name] !== undefined && file.payment[name] !== "");
  const attributes = Object.entries((file.payment.attributes ?? {}) as Record<string, unknown>);
  const searchable = ["customer_id", "card_id", "merchant_id", "ip", "device_id"];
  return (
    <Panel
      title="Payment"
      tools={
        <button type="button" className="button quiet" aria-pressed={isRaw} onClick={() => setRaw(!isRaw)}>
          Raw
        </button>
      }
    >
      {isRaw ? (
        <div className="raw">
          <pre tabIndex={0}>{JSON.stringify({ payment: file.payment, decision: file.decision, case: file.case }, null, 2)}</pre>
        </div>
      ) : (
        <dl className="facts">
          {facts.map((name) => {
            const text = name === "occurred_at" ? moment(String(file.payment[name])) : String(file.payment[name]);
            return (
              <Fact key={name} name={name.replace(/_id$/, "").replace(/_/g, " ")}>
                {searchable.includes(name) ? <a href={href("queue", { state: "all", entity: text })}>{text}</a> : text}
              </Fact>
            );
          })}
          {attributes.map(([name, value]) => (
            <Fact key={name} name={name.replace(/_/g, " ")}>
              {String(value)}
            </Fact>
          ))}
          <Fact name="account">{the.account}</Fact>
          <Fact name="decided">
            {moment(decision.decided_at)} by model {decision.model_version || "none"} ({decision.arm || "no arm"}), rules {decision.ruleset_version || "none"}
          </Fact>
          {decision.degraded.length > 0 && (
            <Fact name="missing then">
              <span className="warn">{decision.degraded.join(", ")}</span>
            </Fact>
          )}
        </dl>
      )}
    </Panel>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </>
  );
}
