// SPDX-License-Identifier: Apache-2.0
// Training: runs with how far they are, and when models are trained by themselves.
import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { type Run, type Schedule, modelsApi } from "../api/models";
import { errorText } from "../api";
import { saveCsv } from "../csv";
import { moment, percent, span } from "../format";
import { href } from "../route";
import { useMay } from "../session";
import { useShortcuts } from "../shortcuts";
import { Blank, Chip, Fault, Kbd, Loading, Modal, Panel, useSay, useTitle } from "../ui";
import { runTone } from "./models_parts";

const pageRows = 50;
const isOpen = (run: Run) => run.state === "queued" || run.state === "running";

type Open = { kind: "request" } | { kind: "schedule"; schedule: Schedule | null } | { kind: "remove"; schedule: Schedule } | { kind: "cancel"; run: Run } | null;

export default function RetrainingPage() {
  useTitle("Retraining");
  const mayChange = useMay("model_owner");
  const [open, setOpen] = useState<Open>(null);
  useShortcuts("Retraining", mayChange ? [{ key: "n", label: "Request a run", run: () => setOpen({ kind: "request" }) }] : []);
  return (
    <>
      <header className="row">
        <h1>Retraining</h1>
        <span className="grow" />
        {!mayChange && <span className="small muted">Requesting and cancelling is for model owners.</span>}
        {mayChange && (
          <button type="button" className="button primary" onClick={() => setOpen({ kind: "request" })}>
            Request a run <Kbd>N</Kbd>
          </button>
        )}
      </header>
      <Runs mayChange={mayChange} onCancel={(run) => setOpen({ kind: "cancel", run })} />
      <Schedules mayChange={mayChange} onOpen={setOpen} />
      {open?.kind === "request" && <RequestDialog onClose={() => setOpen(null)} />}
      {open?.kind === "cancel" && <CancelDialog run={open.run} onClose={() => setOpen(null)} />}
      {open?.kind === "schedule" && <ScheduleDialog schedule={open.schedule} onClose={() => setOpen(null)} />}
      {open?.kind === "remove" && <RemoveDialog schedule={open.schedule} onClose={() => setOpen(null)} />}
    </>
  );
}

function Runs({ mayChange, onCancel }: { mayChange: boolean; onCancel: (run: Run) => void }) {
  const asked = useInfiniteQuery({
    queryKey: ["models", "runs"],
    queryFn: ({ pageParam, signal }) => modelsApi.runs(pageParam, pageRows, signal),
    initialPageParam: null as number | null,
    getNextPageParam: (page) => (page.runs.length === pageRows ? page.runs[pageRows - 1]!.run : null),
    refetchInterval: (query) => (query.state.data?.pages.some((page) => page.runs.some(isOpen)) ? 1000 : 10000),
  });
  const runs = asked.data?.pages.flatMap((page) => page.runs) ?? [];
  return (
    <Panel
      title="Runs" flush
      tools={
        <button type="button" className="button quiet" aria-label="CSV: runs" disabled={runs.length === 0} onClick={() => saveCsv("retraining-runs.csv", csvColumns, runs)}>
          CSV
        </button>
      }
    >
      {asked.error && <Fault error={asked.error} again={() => void asked.refetch()} />}
      {asked.isPending && <Loading lines={4} />}
      {asked.data && runs.length === 0 && (
        <Blank title="Nothing was trained yet">
          <p>
            A run learns from the payments that were decided and the labels that came for them, and holds the version that it makes to its gates. It begins by a request, by a
            schedule, or because the monitor found that the present model has decayed. One runs at a time; when it is killed it goes on where it was.
          </p>
        </Blank>
      )}
      {runs.length > 0 && (
        <div className="table-wrap" tabIndex={0} role="region" aria-label="Table of runs">
          <table className="plain">
            <thead>
              <tr>
                <th scope="col">Run</th>
                <th scope="col">State</th>
                <th scope="col">Progress</th>
                <th scope="col">Because</th>
                <th scope="col">Requested</th>
                <th scope="col">Took</th>
                <th scope="col">Made</th>
                {mayChange && <th scope="col">Do</th>}
              </tr>
            </thead>
            <tbody>
              {runs.map((run) => (
                <tr key={run.run}>
                  <th scope="row" className="nowrap">
                    {run.name} {run.run}
                  </th>
                  <td>
                    <Chip tone={runTone[run.state]}>{isOpen(run) && run.is_cancelled ? "stopping" : run.state}</Chip>
                  </td>
                  <td>
                    {run.state === "running" ? (
                      <span className="progress" role="progressbar" aria-valuenow={Math.round(run.progress * 100)} aria-valuemin={0} aria-valuemax={100} aria-label={`Run ${run.run}: ${run.stage || "begins"}`}>
                        <span className="num">{percent(run.progress)}</span>
                        <span className="track">
                          <span className="fill" style={{ width: `${Math.round(run.progress * 100)}%` }} />
                        </span>
                      </span>
                    ) : null}
                    <span className="small muted wrap"> {run.state === "running" ? run.stage : run.message}</span>
                  </td>
                  <td className="wrap">
                    {run.cause}
                    {run.reason ? `: ${run.reason}` : ""}
                  </td>
                  <td className="nowrap">
                    {moment(run.requested_at)} <span className="muted small">by {run.requested_by}</span>
                  </td>
                  <td className="nowrap">{run.started_at && run.ended_at ? span((Date.parse(run.ended_at) - Date.parse(run.started_at)) / 1000) : "–"}</td>
                  <td>{run.version ? <a href={href(`models/card/${encodeURIComponent(run.name)}/${run.version}`)}>version {run.version}</a> : "–"}</td>
                  {mayChange && (
                    <td>
                      {isOpen(run) && !run.is_cancelled && (
                        <button type="button" className="button quiet" aria-label={`Cancel run ${run.run}`} onClick={() => onCancel(run)}>
                          Cancel
                        </button>
                      )}
                    </td>
                  )}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {asked.hasNextPage && (
        <div className="body">
          <button type="button" className="button" onClick={() => void asked.fetchNextPage()} disabled={asked.isFetchingNextPage}>
            Older
          </button>
        </div>
      )}
    </Panel>
  );
}

const csvColumns = ["run", "name", "cause", "reason", "requested_by", "requested_at", "state", "progress", "started_at", "ended_at", "version", "message"] as const satisfies readonly (keyof Run)[];

function Schedules({ mayChange, onOpen }: { mayChange: boolean; onOpen: (open: Open) => void }) {
  const asked = useQuery({ queryKey: ["models", "schedules"], queryFn: ({ signal }) => modelsApi.schedules(signal), refetchInterval: 30000 });
  const all = asked.data?.schedules ?? [];
  return (
    <Panel
      title="Schedules" flush
      tools={
        <>
          {mayChange && (
            <button type="button" className="button quiet" onClick={() => onOpen({ kind: "schedule", schedule: null })}>
              Add a schedule
            </button>
          )}
          <button type="button" className="button quiet" aria-label="CSV: schedules" disabled={all.length === 0} onClick={() => saveCsv("schedules.csv", ["name", "cron", "zone", "is_enabled", "fired_at", "next_at"], all)}>
            CSV
          </button>
        </>
      }
    >
      {asked.error && <Fault error={asked.error} again={() => void asked.refetch()} />}
      {asked.isPending && <Loading lines={2} />}
      {asked.data && all.length === 0 && (
        <Blank title="No schedule">
          <p>
            With a schedule a model is trained anew by itself: <code>30 3 * * mon</code> is every Monday at 3:30. Weekly is a good beginning; fraud changes faster than most think.
          </p>
        </Blank>
      )}
      {all.length > 0 && (
        <div className="table-wrap" tabIndex={0} role="region" aria-label="Table of schedules">
          <table className="plain">
            <thead>
              <tr>
                <th scope="col">Model</th>
                <th scope="col">When</th>
                <th scope="col">Next</th>
                <th scope="col">Last</th>
                <th scope="col">With</th>
                {mayChange && <th scope="col">Do</th>}
              </tr>
            </thead>
            <tbody>
              {all.map((each) => (
                <tr key={each.name}>
                  <th scope="row">{each.name}</th>
                  <td className="nowrap">
                    <code>{each.cron}</code> <span className="muted small">{each.zone}</span>
                  </td>
                  <td className="nowrap">{each.is_enabled ? moment(each.next_at) : <Chip>switched off</Chip>}</td>
                  <td className="nowrap muted">{moment(each.fired_at)}</td>
                  <td>
                    <code className="wrap">{settingsText(each.settings)}</code>
                  </td>
                  {mayChange && (
                    <td className="nowrap">
                      <button type="button" className="button quiet" aria-label={`Change the schedule of ${each.name}`} onClick={() => onOpen({ kind: "schedule", schedule: each })}>
                        Change
                      </button>
                      <button type="button" className="button quiet" aria-label={`Remove the schedule of ${each.name}`} onClick={() => onOpen({ kind: "remove", schedule: each })}>
                        Remove
                      </button>
                    </td>
                  )}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Panel>
  );
}

/** A catalogue is long, and its first line says nothing. */
const settingsText = (settings: Record<string, unknown>): string =>
  Object.entries(settings).map(([name, value]) => (name === "catalogue" ? "a catalogue of its own" : `${name} ${String(value)}`)).join(", ") || "as usual";

/** What a dialog sends, what came of it, and what is to be read again. */
function useSend(text: string, onClose: () => void) {
  const say = useSay();
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (act: () => Promise<unknown>) => act(),
    onSuccess: () => {
      say(text);
      void queries.invalidateQueries({ queryKey: ["models"] });
      onClose();
    },
  });
}

function Feet({ isBusy, label, onClose, act }: { isBusy: boolean; label: string; onClose: () => void; act?: () => void }) {
  return (
    <div className="actions">
      <button type="button" className="button" onClick={onClose}>
        Close
      </button>
      <button type={act ? "button" : "submit"} className="button primary" disabled={isBusy} onClick={act}>
        {label}
      </button>
    </div>
  );
}

function NameField({ fixed }: { fixed?: string }) {
  const models = useQuery({ queryKey: ["models", "all"], queryFn: ({ signal }) => modelsApi.list(null, 1000, signal) });
  const names = [...new Set(models.data?.models.map((each) => each.name) ?? [])];
  return (
    <div className="field">
      <label htmlFor="run-name">Model: small letters, digits, _ -</label>
      <input id="run-name" name="name" className="input" list="run-names" pattern="[a-z][a-z0-9_\-]{0,63}" defaultValue={fixed ?? names[0]} key={fixed ?? names[0]} readOnly={!!fixed} required autoComplete="off" />
      <datalist id="run-names">
        {names.map((name) => (
          <option key={name} value={name} />
        ))}
      </datalist>
    </div>
  );
}

const fields = [
  { name: "trials", label: "Trials of parameters", min: 1, max: 1000, usual: "20" },
  { name: "history_days", label: "Days of history", min: 0, max: 100000, usual: "all" },
  { name: "label_delay_days", label: "Days that labels take", min: 0, max: 365, usual: "7" },
] as const;

function SettingFields({ settings = {} }: { settings?: Record<string, unknown> }) {
  return (
    <fieldset className="plain-set">
      <legend>Settings; what is empty is as usual</legend>
      <div className="ask">
        {fields.map((field) => (
          <div className="field" key={field.name}>
            <label htmlFor={`run-${field.name}`}>{field.label}</label>
            <input
              id={`run-${field.name}`} name={field.name} className="input" type="number" min={field.min} max={field.max} placeholder={field.usual}
              defaultValue={typeof settings[field.name] === "number" ? String(settings[field.name]) : ""}
            />
          </div>
        ))}
      </div>
    </fieldset>
  );
}

/** What stands in the form over what was there: settings that the form does not show are kept. */
function readSettings(form: FormData, before: Record<string, unknown> = {}): Record<string, unknown> {
  const settings = { ...before };
  for (const { name } of fields) {
    const text = String(form.get(name) ?? "").trim();
    if (text === "") delete settings[name];
    else settings[name] = Number(text);
  }
  return settings;
}

function RequestDialog({ onClose }: { onClose: () => void }) {
  const send = useSend("The run is queued.", onClose);
  const ask = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    send.mutate(() => modelsApi.requestRun(String(form.get("name")).trim(), String(form.get("reason")).trim(), readSettings(form)));
  };
  return (
    <Modal title="Request a run" open onClose={onClose}>
      <form className="stack" onSubmit={ask}>
        {send.error && <Fault error={new Error(errorText(send.error))} />}
        <NameField />
        <div className="field">
          <label htmlFor="run-reason">Why</label>
          <input id="run-reason" name="reason" className="input" maxLength={500} required autoComplete="off" />
        </div>
        <SettingFields />
        <p className="small muted">Training steps back for what decides payments. What comes of it is a version of its own: nothing is decided by it before it has shown that it is fit.</p>
        <Feet isBusy={send.isPending} label="Request it" onClose={onClose} />
      </form>
    </Modal>
  );
}

function CancelDialog({ run, onClose }: { run: Run; onClose: () => void }) {
  const send = useSend(`Run ${run.run} is told to stop.`, onClose);
  return (
    <Modal title={`Cancel run ${run.run}`} open onClose={onClose}>
      <div className="stack">
        {send.error && <Fault error={new Error(errorText(send.error))} />}
        <p>
          {run.state === "queued" ? "It waits and will not begin." : `It is at ${percent(run.progress)} (${run.stage || "the beginning"}) and stops after the round that it is in.`} No
          version comes of it, and what it has tried is lost.
        </p>
        <Feet isBusy={send.isPending} label="Cancel the run" onClose={onClose} act={() => send.mutate(() => modelsApi.cancelRun(run.run))} />
      </div>
    </Modal>
  );
}

function ScheduleDialog({ schedule, onClose }: { schedule: Schedule | null; onClose: () => void }) {
  const send = useSend("The schedule holds.", onClose);
  const keep = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    send.mutate(() =>
      modelsApi.putSchedule(String(form.get("name")).trim(), {
        cron: String(form.get("cron")).trim(), zone: String(form.get("zone")).trim(), is_enabled: form.get("enabled") === "on",
        settings: readSettings(form, schedule?.settings),
      }),
    );
  };
  return (
    <Modal title={schedule ? `Schedule of ${schedule.name}` : "Add a schedule"} open onClose={onClose}>
      <form className="stack" onSubmit={keep}>
        {send.error && <Fault error={new Error(errorText(send.error))} />}
        <NameField fixed={schedule?.name} />
        <div className="pair">
          <div className="field">
            <label htmlFor="schedule-cron">When: minute hour day month weekday</label>
            <input id="schedule-cron" name="cron" className="input mono" defaultValue={schedule?.cron ?? "30 3 * * mon"} required autoComplete="off" />
          </div>
          <div className="field">
            <label htmlFor="schedule-zone">Time zone</label>
            <input id="schedule-zone" name="zone" className="input" defaultValue={schedule?.zone ?? Intl.DateTimeFormat().resolvedOptions().timeZone} required autoComplete="off" />
          </div>
        </div>
        <label className="row choice">
          <input type="checkbox" name="enabled" defaultChecked={schedule?.is_enabled ?? true} /> It is switched on
        </label>
        <SettingFields settings={schedule?.settings} />
        <Feet isBusy={send.isPending} label="Keep it" onClose={onClose} />
      </form>
    </Modal>
  );
}

function RemoveDialog({ schedule, onClose }: { schedule: Schedule; onClose: () => void }) {
  const send = useSend(`${schedule.name} is not retrained by itself any more.`, onClose);
  return (
    <Modal title={`Remove the schedule of ${schedule.name}`} open onClose={onClose}>
      <div className="stack">
        {send.error && <Fault error={new Error(errorText(send.error))} />}
        <p>
          {schedule.name} is then trained only when somebody requests it, or the monitor does. The next run would have been {moment(schedule.next_at)}. What was trained stays.
        </p>
        <Feet isBusy={send.isPending} label="Remove the schedule" onClose={onClose} act={() => send.mutate(() => modelsApi.removeSchedule(schedule.name))} />
      </div>
    </Modal>
  );
}
