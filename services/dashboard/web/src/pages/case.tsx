// SPDX-License-Identifier: Apache-2.0
// One case: what it is, why it is here, what surrounds it, and the decision by keyboard.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Suspense, lazy, useState } from "react";
import { type CaseFile, type Outcome, api, errorText } from "../api";
import { placeOf } from "../place";
import { go, href, useRoute } from "../route";
import { useMay, useSession } from "../session";
import { useShortcuts } from "../shortcuts";
import { Blank, Fault, Loading, useSay, useTitle } from "../ui";
import { outcomes } from "../verdicts";
import "./case.css";
import { Bar } from "./case_bar";
import { Strip } from "./case_strip";
import { Later } from "./later";
import { VerdictForm } from "./verdict";
import { WhyPanel } from "./why";

const PaymentPanel = lazy(() => import("./case_payment"));
const VelocityPanel = lazy(() => import("./velocity"));
const TimelinePanel = lazy(() => import("./timeline"));
const RelatedPanel = lazy(() => import("./related"));
const SimilarPanel = lazy(() => import("./similar"));
const MapPanel = lazy(() => import("./map"));
const ReplayPanel = lazy(() => import("./replay"));
const SnoozeDialog = lazy(() => import("./snooze").then(({ SnoozeDialog: view }) => ({ default: view })));

export default function CasePage() {
  const { path } = useRoute();
  const id = Number(path[1]);
  const isNumber = Number.isSafeInteger(id) && id > 0;
  useTitle(isNumber ? `Case ${id}` : "Case");
  const file = useQuery({
    queryKey: ["case", id],
    queryFn: ({ signal }) => api.caseFile(id, signal),
    enabled: isNumber,
    refetchInterval: 30000,
  });
  if (!isNumber)
    return (
      <Blank title="There is no such case" isPage>
        <a href={href("queue")}>Go to the queue</a>
      </Blank>
    );
  if (file.isPending) return <Loading lines={14} />;
  if (!file.data)
    return (
      <div className="page">
        <Fault error={file.error} again={() => void file.refetch()} />
        <p>
          <a href={href("queue")}>Go to the queue</a>
        </p>
      </div>
    );
  return <CaseView key={id} file={file.data} />;
}

function CaseView({ file }: { file: CaseFile }) {
  const the = file.case;
  const { user, undo_s } = useSession();
  const canDecide = useMay("analyst", "lead");
  const isLead = useMay("lead");
  const say = useSay();
  const queries = useQueryClient();
  const place = placeOf(the.case);
  const [choice, setChoice] = useState<Outcome | null>(null);
  const [isSnoozing, setSnoozing] = useState(false);
  const isOpen = the.state !== "decided";
  const isMine = the.assignee === user.name;
  const isOthers = !!the.assignee && !isMine;
  const mayAct = canDecide && isOpen && (!isOthers || isLead);

  const refresh = () => {
    void queries.invalidateQueries({ queryKey: ["case", the.case] });
    void queries.invalidateQueries({ queryKey: ["cases"] });
  };
  const change = useMutation({
    mutationFn: (act: () => Promise<unknown>) => act(),
    onSuccess: refresh,
    onError: (error) => {
      say(errorText(error), { tone: "bad" });
      refresh();
    },
  });
  const next = useMutation({
    mutationFn: api.nextCase,
    onSuccess: (mine) => {
      void queries.invalidateQueries({ queryKey: ["cases"] });
      if (mine) return go(href(`cases/${mine.case}`));
      say("Nothing more waits.");
      go(href("queue"));
    },
    onError: (error) => say(errorText(error), { tone: "bad" }),
  });
  const undo = async () => {
    try {
      await api.undo(the.case);
      say(`The decision on case ${the.case} is taken back.`);
      go(href(`cases/${the.case}`));
    } catch (error) {
      say(errorText(error), { tone: "bad" });
    }
    refresh();
  };
  const decided = (outcome: Outcome) => {
    setChoice(null);
    const label = outcomes.find((each) => each.outcome === outcome)!.label.toLowerCase();
    say(`Case ${the.case}: ${label}.`, { undo: () => void undo(), seconds: undo_s });
    refresh();
    next.mutate();
  };

  const focusNote = () => document.getElementById("note")?.focus();
  useShortcuts("Case", [
    ...(mayAct ? outcomes.map((each) => ({ key: each.key, label: `Decide: ${each.label.toLowerCase()}`, run: () => setChoice(each.outcome) })) : []),
    ...(mayAct ? [{ key: "s", label: "Put aside until later", run: () => setSnoozing(true) }] : []),
    ...(mayAct && !isMine ? [{ key: "a", label: "Take it", run: () => change.mutate(() => api.assign(the.case, the.version, user.name)) }] : []),
    ...(canDecide ? [{ key: "n", label: "Write a note", run: focusNote }, { key: "g n", label: "Next case for me", run: () => next.mutate() }] : []),
    { key: "j", label: "Next in the queue", run: () => place.after && go(href(`cases/${place.after}`)) },
    { key: "k", label: "The one before", run: () => place.before && go(href(`cases/${place.before}`)) },
    { key: "Escape", label: "Back to the queue", run: () => (choice ? setChoice(null) : go(href("queue", place.filter))) },
  ]);

  return (
    <div className="case">
      <Strip file={file} place={place} onExtend={isMine && isOpen ? () => change.mutate(() => api.extend(the.case)) : undefined} />
      <div className="case-body">
        <WhyPanel decision={file.decision} />
        <div className="stack">
          <Later title="Payment" lines={8}>
            <PaymentPanel file={file} />
          </Later>
          <Later title="Before this payment" lines={5}>
            <VelocityPanel id={the.case} />
          </Later>
          <Suspense fallback={null}>
            <MapPanel id={the.case} />
          </Suspense>
          <Later title="Timeline" lines={6}>
            <TimelinePanel file={file} onNoted={refresh} canNote={canDecide} />
          </Later>
          <Suspense fallback={null}>
            <ReplayPanel id={the.case} />
          </Suspense>
        </div>
        <div className="stack">
          <Later title="Similar past payments" lines={8}>
            <SimilarPanel id={the.case} />
          </Later>
          <Later title="Related payments" lines={12}>
            <RelatedPanel id={the.case} />
          </Later>
        </div>
      </div>
      {choice && mayAct ? (
        <VerdictForm the={the} outcome={choice} setOutcome={setChoice} onDone={decided} onCancel={() => setChoice(null)} onStale={refresh} />
      ) : (
        <Bar
          the={the} mayAct={mayAct} canDecide={canDecide} isMine={isMine} choose={setChoice} onSnooze={() => setSnoozing(true)}
          onTake={() => change.mutate(() => api.assign(the.case, the.version, user.name))}
          onGiveBack={() => change.mutate(() => api.assign(the.case, the.version, ""))}
          onNext={() => next.mutate()} onUndo={() => void undo()}
        />
      )}
      {isSnoozing && (
        <Suspense fallback={null}>
          <SnoozeDialog the={the} onClose={() => setSnoozing(false)} onDone={() => { setSnoozing(false); refresh(); next.mutate(); }} />
        </Suspense>
      )}
    </div>
  );
}
