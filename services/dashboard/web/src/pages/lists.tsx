// SPDX-License-Identifier: Apache-2.0
// Lists of values: which there are, what is in one, who changed what; added and taken out many at a time, after a look at
// what that does.
import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useVirtualizer } from "@tanstack/react-virtual";
import { type FormEvent, useEffect, useMemo, useRef, useState } from "react";
import { errorText } from "../api";
import { type Entry, type Imported, type List, type ListType, type Preview, type Purpose, listsApi } from "../api/lists";
import { saveCsv } from "../csv";
import { count, moment, words } from "../format";
import { href, swap, useRoute } from "../route";
import { useMay } from "../session";
import { useShortcuts } from "../shortcuts";
import { Blank, Chip, Fault, Kbd, Loading, Modal, useSay, useTitle } from "../ui";
import "./lists.css";

const pageRows = 200;
const fields = ["customer_id", "card_id", "merchant_id", "device_id", "ip", "email_hash", "country", "mcc"];
const csvColumns = ["list", "account", "purpose", "type", "field", "values", "expired", "next_expiry", "note"] as const;
const tone = { named: "plain", deny: "bad", allow: "good" } as const;
const means: Record<Purpose, string> = {
  named: "acts where a rule asks for it",
  deny: "declines, before any rule",
  allow: "approves, unless denied",
};

const nameOf = (list: List): string => (list.account ? `${list.list} of ${list.account}` : list.list);

/** Texts that stand in lines or between commas. */
const valuesOf = (text: string): string[] =>
  text.split(/[\n,;]/).map((value) => value.trim()).filter(Boolean);

type Open = "make" | "add" | "remove" | "import" | "drop" | null;

export default function ListsPage() {
  useTitle("Lists");
  const { query } = useRoute();
  const mayKeep = useMay("lead", "rule_author", "publisher", "admin");
  const mayDrop = useMay("publisher", "admin");
  const queries = useQueryClient();
  const say = useSay();
  const [text, setText] = useState("");
  const [open, setOpen] = useState<Open>(null);
  const asked = useQuery({ queryKey: ["lists"], queryFn: ({ signal }) => listsApi.all(signal) });
  const all = asked.data?.lists ?? [];
  const wanted = query.get("list");
  const chosen = all.find((list) => list.list === wanted && list.account === (query.get("of") ?? "")) ?? null;
  const shown = all.filter((list) =>
    [list.list, list.note, list.field, list.account, list.purpose].some((word) => word.toLowerCase().includes(text.trim().toLowerCase())),
  );
  const done = (sentence: string) => {
    setOpen(null);
    say(sentence);
    void queries.invalidateQueries({ queryKey: ["lists"] });
    void queries.invalidateQueries({ queryKey: ["list"] });
  };
  useShortcuts("Lists", [
    ...(mayKeep ? [{ key: "n", label: "Make a list", run: () => setOpen("make") }] : []),
    ...(mayKeep && chosen ? [{ key: "e", label: "Add entries", run: () => setOpen("add") }] : []),
  ]);
  return (
    <div className="page lists-page">
      <header>
        <h1>Lists</h1>
        <span className="muted small">{asked.data && count(all.length)}</span>
        <span className="grow" />
        <button type="button" className="button" disabled={shown.length === 0} onClick={() => saveCsv("lists.csv", csvColumns, shown)}>
          CSV
        </button>
        {mayKeep && (
          <button type="button" className="button primary" onClick={() => setOpen("make")}>
            Make a list <Kbd>N</Kbd>
          </button>
        )}
      </header>
      {asked.error && <Fault error={asked.error} again={() => void asked.refetch()} />}
      {asked.isPending && (
        <div className="panel">
          <Loading />
        </div>
      )}
      {asked.data && all.length === 0 && (
        <div className="panel">
          <Blank title="Nothing is listed yet">
            <p>
              A list holds cards, customers, devices or addresses. A deny list declines and an allow list approves before any rule; a named
              one acts where a rule asks for it: in_list(tx.device_id, "watched_devices").
            </p>
          </Blank>
        </div>
      )}
      {all.length > 0 && (
        <div className="split">
          <section className="panel" aria-label="All lists">
            <div className="body">
              <input className="input" aria-label="Find a list" placeholder="Find a list" value={text} onChange={(event) => setText(event.target.value)} />
            </div>
            <nav className="names" aria-label="Lists">
              {shown.map((list) => (
                <a
                  key={`${list.account}/${list.list}`} className="name" href={href("lists", { list: list.list, of: list.account })}
                  aria-current={list === chosen ? "true" : undefined}
                >
                  <span className="strong cut">{nameOf(list)}</span>
                  <span className="num">{count(list.values)}</span>
                  <span className="small muted row">
                    <Chip tone={tone[list.purpose]}>{list.purpose}</Chip>
                    {list.field ? words(list.field) : list.type}
                    {list.expired > 0 && <span>{count(list.expired)} expired</span>}
                  </span>
                </a>
              ))}
              {shown.length === 0 && <p className="body muted">No list fits.</p>}
            </nav>
          </section>
          {chosen ? (
            <OneList key={nameOf(chosen)} list={chosen} mayKeep={mayKeep} mayDrop={mayDrop} setOpen={setOpen} onDone={done} />
          ) : (
            <div className="panel">
              <Blank title="Choose a list">
                <p>Its entries, who put them there, and when they end.</p>
              </Blank>
            </div>
          )}
        </div>
      )}
      {open === "make" && (
        <MakeDialog
          onClose={() => setOpen(null)}
          onDone={(list) => {
            done(`${list.list} is there, and empty.`);
            swap(href("lists", { list: list.list, of: list.account }));
          }}
        />
      )}
      {(open === "add" || open === "remove") && chosen && <ValuesDialog kind={open} list={chosen} onClose={() => setOpen(null)} onDone={done} />}
      {open === "import" && chosen && <ImportDialog list={chosen} onClose={() => setOpen(null)} onDone={done} />}
      {open === "drop" && chosen && <DropDialog list={chosen} onClose={() => setOpen(null)} onDone={done} />}
    </div>
  );
}

interface OneProps {
  list: List;
  mayKeep: boolean;
  mayDrop: boolean;
  setOpen: (open: Open) => void;
  onDone: (sentence: string) => void;
}

function OneList({ list, mayKeep, mayDrop, setOpen, onDone }: OneProps) {
  const [tab, setTab] = useState<"entries" | "changes">("entries");
  return (
    <section className="panel" aria-label={`List ${nameOf(list)}`}>
      <header>
        <h2>{nameOf(list)}</h2>
        <div className="tabs" role="group" aria-label="What is shown">
          <button type="button" className="button quiet" aria-pressed={tab === "entries"} onClick={() => setTab("entries")}>
            Entries
          </button>
          <button type="button" className="button quiet" aria-pressed={tab === "changes"} onClick={() => setTab("changes")}>
            Changes
          </button>
        </div>
      </header>
      <div className="body stack">
        <p className="list-facts small">
          <span>
            <Chip tone={tone[list.purpose]}>{list.purpose}</Chip> {means[list.purpose]}
          </span>
          <span className="muted">
            {list.type}
            {list.field && `, of ${words(list.field)}`}
          </span>
          <span className="muted">{list.next_expiry ? `the next one ends ${moment(list.next_expiry)}` : "no entry ends by itself"}</span>
          {list.note && <span>{list.note}</span>}
        </p>
        <div className="row">
          {mayKeep && (
            <>
              <button type="button" className="button" onClick={() => setOpen("add")}>
                Add <Kbd>E</Kbd>
              </button>
              <button type="button" className="button" onClick={() => setOpen("remove")}>
                Take out
              </button>
              <button type="button" className="button" onClick={() => setOpen("import")}>
                CSV in
              </button>
            </>
          )}
          <a className="button" href={listsApi.exportAt(list)} download={`${list.list}.csv`}>
            CSV out
          </a>
          <span className="grow" />
          {mayDrop && (
            <button type="button" className="button quiet is-bad" onClick={() => setOpen("drop")}>
              Throw it away
            </button>
          )}
        </div>
      </div>
      {tab === "entries" ? <Entries list={list} mayKeep={mayKeep} onDone={onDone} /> : <Changes list={list} />}
    </section>
  );
}

function Entries({ list, mayKeep, onDone }: { list: List; mayKeep: boolean; onDone: (sentence: string) => void }) {
  const [find, setFind] = useState("");
  const [settled, setSettled] = useState("");
  const [ticked, setTicked] = useState<ReadonlySet<string>>(new Set());
  const say = useSay();
  useEffect(() => {
    const timer = window.setTimeout(() => setSettled(find.trim()), 250);
    return () => window.clearTimeout(timer);
  }, [find]);
  const asked = useInfiniteQuery({
    queryKey: ["list", list.account, list.list, "entries", settled],
    queryFn: ({ pageParam, signal }) => listsApi.entries(list, settled, pageParam, pageRows, signal),
    initialPageParam: "",
    getNextPageParam: (page) => (page.entries.length === pageRows ? page.entries[pageRows - 1]!.value : null),
  });
  const entries = useMemo(() => asked.data?.pages.flatMap((page) => page.entries) ?? [], [asked.data]);
  const remove = useMutation({
    mutationFn: (values: string[]) => listsApi.remove(list, values),
    onSuccess: ({ changed }) => onDone(`${count(changed)} taken out.`),
    onError: (error) => say(errorText(error), { tone: "bad" }),
  });
  const box = useRef<HTMLDivElement>(null);
  const rows = useVirtualizer({ count: entries.length, getScrollElement: () => box.current, estimateSize: () => 34, overscan: 12 });
  const seen = rows.getVirtualItems();
  const last = seen[seen.length - 1]?.index ?? 0;
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = asked;
  useEffect(() => {
    if (hasNextPage && !isFetchingNextPage && last >= entries.length - 30) void fetchNextPage();
  }, [hasNextPage, isFetchingNextPage, fetchNextPage, last, entries.length]);
  const tick = (value: string) =>
    setTicked((now) => {
      const next = new Set(now);
      if (!next.delete(value)) next.add(value);
      return next;
    });
  return (
    <>
      <div className="body row">
        <input className="input grow" aria-label="Find entries" placeholder="Part of a value or note" value={find} onChange={(event) => setFind(event.target.value)} />
        {ticked.size > 0 && (
          <button type="button" className="button" disabled={remove.isPending} onClick={() => remove.mutate([...ticked])}>
            Take out {count(ticked.size)}
          </button>
        )}
      </div>
      {asked.error && <Fault error={asked.error} again={() => void asked.refetch()} />}
      {asked.isPending && <Loading />}
      {asked.data && entries.length === 0 && (
        <Blank title={settled ? "No entry fits" : "Nothing is in it"}>
          {!settled && <p>Add values here, from a CSV file, or when you decide a case.</p>}
        </Blank>
      )}
      {entries.length > 0 && (
        <div className="values" ref={box} tabIndex={0} role="region" aria-label="Entries">
          <div className="rows" role="list" style={{ height: rows.getTotalSize() }}>
            {seen.map(({ index, start, size }) => (
              <EntryLine
                key={entries[index]!.value} entry={entries[index]!} top={start} height={size} mayKeep={mayKeep}
                isTicked={ticked.has(entries[index]!.value)} tick={tick}
              />
            ))}
          </div>
        </div>
      )}
    </>
  );
}

interface LineProps {
  entry: Entry;
  top: number;
  height: number;
  mayKeep: boolean;
  isTicked: boolean;
  tick: (value: string) => void;
}

function EntryLine({ entry, top, height, mayKeep, isTicked, tick }: LineProps) {
  const isOver = entry.expires_at !== null && Date.parse(entry.expires_at) <= Date.now();
  return (
    <div className="line" role="listitem" style={{ transform: `translateY(${top}px)`, height }}>
      <span>{mayKeep && <input type="checkbox" aria-label={`Choose ${entry.value}`} checked={isTicked} onChange={() => tick(entry.value)} />}</span>
      <span className="mono cut" title={entry.value}>{entry.value}</span>
      <span className="cut muted" title={entry.note}>{entry.note}</span>
      <span className="cut muted c-by" title={moment(entry.added_at)}>{entry.added_by}</span>
      <span className={`cut small c-until ${isOver ? "warn" : "muted"}`}>
        {entry.expires_at ? `${isOver ? "ended" : "until"} ${moment(entry.expires_at)}` : ""}
      </span>
    </div>
  );
}

function Changes({ list }: { list: List }) {
  const asked = useInfiniteQuery({
    queryKey: ["list", list.account, list.list, "changes"],
    queryFn: ({ pageParam, signal }) => listsApi.changes(list, pageParam, 100, signal),
    initialPageParam: null as number | null,
    getNextPageParam: (page) => (page.changes.length === 100 ? page.changes[99]!.seq : null),
  });
  const rows = asked.data?.pages.flatMap((page) => page.changes) ?? [];
  return (
    <>
      {asked.error && <Fault error={asked.error} again={() => void asked.refetch()} />}
      {asked.isPending && <Loading />}
      {asked.data && rows.length === 0 && <Blank title="Nothing has changed yet" />}
      {rows.length > 0 && (
        <>
          <div className="body row">
            <span className="grow muted small">The newest first; all of it stays.</span>
            <button
              type="button" className="button"
              onClick={() => saveCsv(`${list.list}-changes.csv`, ["at", "actor", "is_there", "value", "note", "expires_at"], rows)}
            >
              CSV
            </button>
          </div>
          <div className="table-wrap" tabIndex={0} role="region" aria-label="Table of changes of the list">
            <table className="plain">
              <thead>
                <tr>
                  <th scope="col">When</th>
                  <th scope="col">Who</th>
                  <th scope="col">Did</th>
                  <th scope="col">Value</th>
                  <th scope="col">Note</th>
                  <th scope="col">Until</th>
                </tr>
              </thead>
              <tbody>
                {rows.map((row) => (
                  <tr key={row.seq}>
                    <td className="nowrap">{moment(row.at)}</td>
                    <td>{row.actor}</td>
                    <td>{row.is_there ? <Chip tone="good">put in</Chip> : <Chip tone="warn">took out</Chip>}</td>
                    <td className="mono">{row.value}</td>
                    <td>{row.note}</td>
                    <td className="nowrap muted">{row.expires_at ? moment(row.expires_at) : ""}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
          {asked.hasNextPage && (
            <div className="body">
              <button type="button" className="button" disabled={asked.isFetchingNextPage} onClick={() => void asked.fetchNextPage()}>
                Older ones
              </button>
            </div>
          )}
        </>
      )}
    </>
  );
}

/* ---- dialogs ---- */

function MakeDialog({ onClose, onDone }: { onClose: () => void; onDone: (list: List) => void }) {
  const make = useMutation({ mutationFn: listsApi.create, onSuccess: onDone });
  const send = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const text = (name: string) => String(form.get(name) ?? "").trim();
    make.mutate({
      list: text("list"), purpose: text("purpose") as Purpose, note: text("note"),
      ...(text("field") ? { field: text("field") } : {}), ...(text("type") ? { type: text("type") as ListType } : {}),
    });
  };
  return (
    <Modal title="Make a list" open onClose={onClose}>
      <form className="stack" onSubmit={send}>
        {make.error && <Fault error={make.error} />}
        <div className="field">
          <label htmlFor="list-name">Name: small letters, digits, underscores</label>
          <input id="list-name" name="list" className="input" pattern="[a-z][a-z0-9_]{0,62}" autoComplete="off" required />
        </div>
        <div className="field">
          <label htmlFor="list-purpose">What it does</label>
          <select id="list-purpose" name="purpose" className="input">
            {(Object.keys(means) as Purpose[]).map((purpose) => (
              <option key={purpose} value={purpose}>
                {purpose}: {means[purpose]}
              </option>
            ))}
          </select>
        </div>
        <div className="pair">
          <div className="field">
            <label htmlFor="list-field">Of which field; a deny or allow list needs one</label>
            <select id="list-field" name="field" className="input">
              <option value="">none</option>
              {fields.map((field) => (
                <option key={field} value={field}>
                  {words(field)}
                </option>
              ))}
            </select>
          </div>
          <div className="field">
            <label htmlFor="list-type">What its values are</label>
            <select id="list-type" name="type" className="input">
              <option value="">by the field</option>
              <option value="string">texts</option>
              <option value="ip">addresses and networks</option>
              <option value="number">numbers</option>
            </select>
          </div>
        </div>
        <div className="field">
          <label htmlFor="list-note">What it is for</label>
          <input id="list-note" name="note" className="input" maxLength={400} autoComplete="off" />
        </div>
        <div className="actions">
          <button type="button" className="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" className="button primary" disabled={make.isPending}>
            Make it
          </button>
        </div>
      </form>
    </Modal>
  );
}

function PreviewBox({ preview, kind }: { preview: Preview; kind: "add" | "remove" }) {
  return (
    <div className="stack" role="status">
      <p>
        {kind === "add"
          ? `${count(preview.fresh)} will be new, ${count(preview.known)} are there and get this note and end`
          : `${count(preview.known)} will be taken out, ${count(preview.fresh)} are not there`}
        {preview.repeated > 0 && `, ${count(preview.repeated)} stand there twice`}.
      </p>
      <Faults faults={preview.faults} word="value" />
    </div>
  );
}

function Faults({ faults, word }: { faults: { line: number; what: string }[]; word: "value" | "line" }) {
  if (faults.length === 0) return null;
  return (
    <ul className="list-faults small" aria-label="What cannot be taken" tabIndex={0}>
      {faults.map((fault) => (
        <li key={fault.line}>
          <span className="strong">
            {word} {count(fault.line)}
          </span>{" "}
          {fault.what}
        </li>
      ))}
    </ul>
  );
}

function ValuesDialog({ kind, list, onClose, onDone }: { kind: "add" | "remove"; list: List; onClose: () => void; onDone: (sentence: string) => void }) {
  const [text, setText] = useState("");
  const [note, setNote] = useState("");
  const [days, setDays] = useState("");
  const preview = useMutation({ mutationFn: () => listsApi.preview(list, valuesOf(text)) });
  const act = useMutation({
    mutationFn: () => {
      const values = valuesOf(text);
      if (kind === "remove") return listsApi.remove(list, values);
      const until = days ? { expires_at: new Date(Date.now() + Number(days) * 86400e3).toISOString() } : {};
      return listsApi.add(list, { values, note, ...until });
    },
    onSuccess: ({ changed }) => onDone(kind === "add" ? `${count(changed)} are in ${list.list}.` : `${count(changed)} taken out of ${list.list}.`),
  });
  const values = valuesOf(text).length;
  const isLookedAt = preview.data !== undefined && !preview.isPending;
  const isSound = isLookedAt && preview.data.faults.length === 0;
  return (
    <Modal title={`${kind === "add" ? "Add to" : "Take out of"} ${nameOf(list)}`} open onClose={onClose} wide>
      <form
        className="stack"
        onSubmit={(event) => {
          event.preventDefault();
          if (isSound || (isLookedAt && kind === "remove")) act.mutate();
          else preview.mutate();
        }}
      >
        {(preview.error || act.error) && <Fault error={preview.error ?? act.error} />}
        <div className="field">
          <label htmlFor="list-values">Values, one on a line or with commas between{values > 0 && `: ${count(values)}`}</label>
          <textarea
            id="list-values" className="input mono" rows={8} value={text} required spellCheck={false}
            onChange={(event) => {
              setText(event.target.value);
              preview.reset();
            }}
          />
        </div>
        {kind === "add" && (
          <div className="pair">
            <div className="field">
              <label htmlFor="list-why">Why</label>
              <input id="list-why" className="input" maxLength={400} value={note} onChange={(event) => setNote(event.target.value)} />
            </div>
            <div className="field">
              <label htmlFor="list-days">Days until they end; empty: never</label>
              <input id="list-days" className="input" type="number" min={1} max={36500} value={days} onChange={(event) => setDays(event.target.value)} />
            </div>
          </div>
        )}
        {isLookedAt && <PreviewBox preview={preview.data} kind={kind} />}
        <div className="actions">
          <button type="button" className="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" className="button primary" disabled={preview.isPending || act.isPending || values === 0 || (isLookedAt && !isSound && kind === "add")}>
            {!isLookedAt ? "See what that does" : kind === "add" ? "Add them" : "Take them out"}
          </button>
        </div>
      </form>
    </Modal>
  );
}

function ImportDialog({ list, onClose, onDone }: { list: List; onClose: () => void; onDone: (sentence: string) => void }) {
  const queries = useQueryClient();
  const [file, setFile] = useState<File | null>(null);
  const [result, setResult] = useState<Imported | null>(null);
  const send = useMutation({
    mutationFn: (csv: File) => listsApi.import(list, csv),
    onSuccess: (said) => {
      if (said.refused === 0) return onDone(`${count(said.taken)} lines taken into ${list.list}.`);
      setResult(said);
      void queries.invalidateQueries({ queryKey: ["lists"] });
      void queries.invalidateQueries({ queryKey: ["list"] });
    },
  });
  return (
    <Modal title={`CSV into ${nameOf(list)}`} open onClose={onClose}>
      <form
        className="stack"
        onSubmit={(event) => {
          event.preventDefault();
          if (file) send.mutate(file);
        }}
      >
        {send.error && <Fault error={send.error} />}
        {result ? (
          <div className="stack" role="status">
            <p>
              {count(result.taken)} lines were taken, {count(result.refused)} were not. Correct those and send the file again: what is there
              stays once.
            </p>
            <Faults faults={result.faults} word="line" />
          </div>
        ) : (
          <div className="field">
            <label htmlFor="list-file">Columns: value, note, expires_at (RFC 3339); up to 64 MiB</label>
            <input id="list-file" type="file" accept=".csv,text/csv" className="input" required onChange={(event) => setFile(event.target.files?.[0] ?? null)} />
          </div>
        )}
        <div className="actions">
          <button type="button" className="button" onClick={onClose}>
            {result ? "Close" : "Cancel"}
          </button>
          {!result && (
            <button type="submit" className="button primary" disabled={!file || send.isPending}>
              {send.isPending ? "Sending …" : "Take it in"}
            </button>
          )}
        </div>
      </form>
    </Modal>
  );
}

function DropDialog({ list, onClose, onDone }: { list: List; onClose: () => void; onDone: (sentence: string) => void }) {
  const drop = useMutation({ mutationFn: () => listsApi.drop(list), onSuccess: () => onDone(`${list.list} is gone.`) });
  return (
    <Modal title={`Throw ${nameOf(list)} away`} open onClose={onClose}>
      <form
        className="stack"
        onSubmit={(event) => {
          event.preventDefault();
          drop.mutate();
        }}
      >
        {drop.error && <Fault error={drop.error} />}
        <p>
          {count(list.values)} entries go with it. A rule that asks for it does not fire any more. Who put what in stays in the changes.
        </p>
        <div className="actions">
          <button type="button" className="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" className="button is-bad" disabled={drop.isPending}>
            Throw it away
          </button>
        </div>
      </form>
    </Modal>
  );
}
