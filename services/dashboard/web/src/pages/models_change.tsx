// SPDX-License-Identifier: Apache-2.0
// Promotion and the way back. Before anything is asked for, it is said what will change; what is expected to be there
// goes with the request, so that two who act at once cannot undo each other unseen.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { type Model, type Version, modelsApi } from "../api/models";
import { errorText } from "../api";
import { percent, words } from "../format";
import { Fault, Loading, Modal, useSay } from "../ui";
import { StateChip } from "./models_parts";

export interface Wish {
  kind: "promote" | "rollback";
  /** What becomes champion. */
  model: Model;
  /** What is champion now. */
  champion: Model | null;
}

const useVersion = (model: Model | null) =>
  useQuery({
    queryKey: ["models", "version", model?.name, model?.version],
    queryFn: ({ signal }) => modelsApi.version(model!.name, model!.version, signal),
    enabled: model !== null,
  });

const thresholdText = (version: Version | undefined): string => {
  if (!version) return "";
  const all = (["challenge", "review", "decline"] as const).filter((name) => version.thresholds[name] !== null);
  return all.length ? all.map((name) => `${name} from ${percent(version.thresholds[name])}`).join(", ") : "none: it stops nothing by itself";
};

export function ChangeDialog({ wish, onClose }: { wish: Wish; onClose: () => void }) {
  const { kind, model, champion } = wish;
  const say = useSay();
  const queries = useQueryClient();
  const next = useVersion(model);
  const now = useVersion(champion);
  const [reason, setReason] = useState("");
  const running = useQuery({ queryKey: ["models", "experiments"], queryFn: ({ signal }) => modelsApi.experiments(signal) });
  const stopped = running.data?.experiments.filter((each) => each.name === model.name && each.state === "running") ?? [];
  const act = useMutation({
    mutationFn: () =>
      kind === "promote"
        ? modelsApi.promote(model.name, model.version, champion?.version ?? 0, reason.trim())
        : modelsApi.rollBack(model.name, champion!.version, reason.trim()),
    onSuccess: () => {
      say(`${model.name} ${model.version} is the champion.`);
      void queries.invalidateQueries({ queryKey: ["models"] });
      onClose();
    },
  });
  const send = (event: FormEvent) => {
    event.preventDefault();
    act.mutate();
  };
  const failed = next.data?.verdicts.filter((each) => each.outcome === "fail") ?? [];
  const open = next.data?.verdicts.filter((each) => each.outcome === "inconclusive") ?? [];
  const title = kind === "promote" ? `Promote ${model.name} ${model.version}` : `Roll ${model.name} back to ${model.version}`;
  return (
    <Modal title={title} open onClose={onClose} wide>
      <form className="stack" onSubmit={send}>
        {act.error && <Fault error={new Error(errorText(act.error))} />}
        {(next.error ?? now.error) && <Fault error={next.error ?? now.error} />}
        {next.isPending || (champion && now.isPending) || running.isPending ? (
          <Loading lines={4} />
        ) : (
          <>
            <p className="strong">What will change, in every process within a second:</p>
            <ul className="changes">
              <li>
                <span>
                  Version {model.version} <StateChip state={model.state} /> becomes the champion and scores every payment, with its own calibration and its own
                  thresholds: {thresholdText(next.data)}.
                </span>
              </li>
              {champion ? (
                <li>
                  <span>
                    Version {champion.version} <StateChip state="champion" /> retires. Its thresholds were: {thresholdText(now.data)}.{" "}
                    {kind === "promote" ? "It stays loaded as the way back." : "It is no way back: a second roll back does not swing."}
                  </span>
                </li>
              ) : (
                <li>There is no champion now: until now rules and lists decided alone.</li>
              )}
              {stopped.length > 0 ? (
                <li>
                  <span>
                    {stopped.map((each) => `Experiment ${each.experiment} (${each.stage}, version ${each.candidate})`).join(", ")} stops: it was against a champion that is
                    no more.
                  </span>
                </li>
              ) : (
                <li>No experiment of {model.name} runs that this would stop.</li>
              )}
              <li>Rule sets and lists stay as they are. It is written to the audit trail with your name.</li>
            </ul>
            {kind === "promote" && failed.length > 0 && (
              <p className="fault">
                <span>
                  It failed: {failed.map((each) => words(each.gate)).join(", ")}. {failed[0]!.reason}
                </span>
              </p>
            )}
            {kind === "promote" && next.data && next.data.verdicts.length === 0 && <p className="warn">It was never held to its gates: nobody has measured it beside the champion.</p>}
            {kind === "promote" && open.length > 0 && <p className="warn">Not decided: {[...new Set(open.map((each) => words(each.gate)))].join(", ")}.</p>}
          </>
        )}
        <div className="field">
          <label htmlFor="change-reason">Why, for the audit trail</label>
          <input id="change-reason" className="input" value={reason} onChange={(event) => setReason(event.target.value)} maxLength={500} required autoComplete="off" />
        </div>
        <div className="actions">
          <button type="button" className="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" className="button primary" disabled={act.isPending || !reason.trim() || next.isPending}>
            {kind === "promote" ? `Make version ${model.version} the champion` : `Go back to version ${model.version}`}
          </button>
        </div>
      </form>
    </Modal>
  );
}
