// SPDX-License-Identifier: Apache-2.0
// Why a case is here: at most five reasons in words, each opening the rule with its values or the bar of its feature;
// below them all contributions to the score, and the smallest changes that would have flipped the decision.
import type { CaseDecision, Contribution, FiredRule, Reason } from "../api";
import { words } from "../format";
import { ActionChip, Chip, Panel } from "../ui";
import { FlipSection } from "./flip";

export function WhyPanel({ decision }: { decision: CaseDecision }) {
  const ruleOf = (reason: Reason) =>
    reason.code.startsWith("rule:") ? decision.rules.find((rule) => rule.id === reason.code.slice(5)) : undefined;
  const told = new Set(decision.reasons.map((reason) => reason.code));
  const otherRules = decision.rules.filter((rule) => !told.has(`rule:${rule.id}`));
  return (
    <Panel title="Why" flush>
      {decision.reasons.length === 0 && otherRules.length === 0 && <p className="body muted">No reason was kept with this decision.</p>}
      <ul className="why">
        {decision.reasons.map((reason, i) => (
          <li key={`${reason.code}/${i}`}>
            <ReasonRow reason={reason} rule={ruleOf(reason)} contribution={contributionOf(reason, decision.contributions)} />
          </li>
        ))}
        {otherRules.map((rule) => (
          <li key={rule.id}>
            <details>
              <summary>
                <span className="grow">{rule.name || words(rule.id)}</span>
                <RuleAction rule={rule} />
              </summary>
              <RuleText rule={rule} />
            </details>
          </li>
        ))}
      </ul>
      {decision.contributions.length > 0 && <Bars contributions={decision.contributions} />}
      <FlipSection />
    </Panel>
  );
}

function contributionOf(reason: Reason, contributions: Contribution[]): Contribution | undefined {
  return reason.code.startsWith("feature:") ? contributions.find((each) => each.feature === reason.code.slice(8)) : undefined;
}

function ReasonRow(props: { reason: Reason; rule: FiredRule | undefined; contribution: Contribution | undefined }) {
  const { reason, rule, contribution } = props;
  return (
    <details>
      <summary>
        <span className="grow">{reason.text}</span>
        {rule ? <RuleAction rule={rule} /> : <span className="small muted">{reason.code.split(":")[0]}</span>}
      </summary>
      {rule && <RuleText rule={rule} />}
      {!rule && (
        <div className="inside">
          {reason.detail && <p>{reason.detail}</p>}
          {contribution && (
            <p>
              <code>{contribution.feature}</code> is <strong>{valueText(contribution.value)}</strong> and moves the log-odds by{" "}
              <strong>{signed(contribution.margin)}</strong>, which multiplies the odds of fraud by{" "}
              <strong>{Math.exp(contribution.margin).toFixed(2)}</strong>.
            </p>
          )}
          <p className="small muted">
            Code <code>{reason.code}</code>
            {reason.public === false && ", told to analysts only"}
          </p>
        </div>
      )}
    </details>
  );
}

function RuleAction({ rule }: { rule: FiredRule }) {
  return rule.action === "tag" ? <Chip>tag</Chip> : <ActionChip action={rule.action} />;
}

function RuleText({ rule }: { rule: FiredRule }) {
  return (
    <div className="inside">
      {rule.expression && <pre tabIndex={0}>{rule.expression}</pre>}
      {rule.values && (
        <p className="small">
          with <code>{rule.values}</code>
        </p>
      )}
      <p className="small muted">
        Rule <code>{rule.id}</code>
      </p>
    </div>
  );
}

const signed = (margin: number): string => `${margin >= 0 ? "+" : "−"}${Math.abs(margin).toFixed(2)}`;

function valueText(value: number | null): string {
  if (value === null) return "missing";
  if (Number.isInteger(value)) return value.toLocaleString();
  return Math.abs(value) >= 1000 ? value.toLocaleString(undefined, { maximumFractionDigits: 0 }) : value.toPrecision(3);
}

function Bars({ contributions }: { contributions: Contribution[] }) {
  const sorted = [...contributions].sort((a, b) => Math.abs(b.margin) - Math.abs(a.margin)).slice(0, 10);
  const most = Math.max(...sorted.map((each) => Math.abs(each.margin)), 1e-9);
  return (
    <div className="body">
      <h3 className="muted small">What moved the score (log-odds): left lowers it, right raises it</h3>
      <div className="bars" role="table" aria-label="Contributions to the score">
        {sorted.map((each) => {
          const width = (Math.abs(each.margin) / most) * 50;
          const isUp = each.margin >= 0;
          return (
            <div key={each.feature} role="row" style={{ display: "contents" }}>
              <span role="rowheader" className="cut" title={each.describe || each.feature}>
                {words(each.feature)}
              </span>
              <span role="cell" className="num muted">{valueText(each.value)}</span>
              <span role="cell" className="track" aria-hidden="true">
                <span className={`bar ${isUp ? "up" : "down"}`} style={isUp ? { left: "50%", width: `${width}%` } : { right: "50%", width: `${width}%` }} />
              </span>
              <span role="cell" className={`num ${isUp ? "bad" : "good"}`}>{signed(each.margin)}</span>
            </div>
          );
        })}
      </div>
    </div>
  );
}
