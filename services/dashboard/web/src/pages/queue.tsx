// SPDX-License-Identifier: Apache-2.0
// The review queue: what waits, the largest expected loss first. The filter is in the address, so that it can be
// bookmarked and saved under a name. Only the rows that are seen are drawn.
import { Popover, PopoverDisclosure, PopoverProvider } from "@ariakit/react/popover";
import { useInfiniteQuery, useMutation, useQueryClient } from "@tanstack/react-query";
import { useVirtualizer } from "@tanstack/react-virtual";
import { type FormEvent, type KeyboardEvent, useEffect, useMemo, useRef, useState } from "react";
import { type Case, type Filter, api, errorText } from "../api";
import { due, minorDigits, money, percent, words } from "../format";
import { useLive } from "../live";
import { useNow } from "../now";
import { saveCsv } from "../csv";
import { rememberQueue } from "../place";
import { go, href, swap, useRoute } from "../route";
import { useBaseCurrency, useMay, useSession } from "../session";
import { useShortcuts } from "../shortcuts";
import { ActionChip, Blank, Chip, Fault, Kbd, Loading, Meter, useMedia, useSay, useTitle } from "../ui";
import { BulkDialog } from "./bulk";
import { Views } from "./views";

const filterNames = [
  "state", "assignee", "sort", "entity", "rule", "merchant", "country", "amount", "score", "age", "account",
] as const;

function filterOf(query: URLSearchParams): Filter {
  const filter: Filter = {};
  for (const name of filterNames) {
    const value = query.get(name);
    if (value) filter[name] = value;
  }
  return filter;
}

export default function Queue() {
  useTitle("Review queue");
  const { query } = useRoute();
  const filter = useMemo(() => filterOf(query), [query]);
  const canDecide = useMay("analyst", "lead");
  const say = useSay();
  const queries = useQueryClient();
  const list = useInfiniteQuery({
    queryKey: ["cases", filter],
    queryFn: ({ pageParam, signal }) => api.cases(filter, pageParam, 100, signal),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next,
    refetchInterval: (state) => ((state.state.data?.pages.length ?? 0) > 1 ? false : 15000),
  });
  // Somebody who has scrolled far keeps what is there: asking for all pages again would move the rows.
  useLive("queue", () => {
    if ((list.data?.pages.length ?? 0) <= 1 && !list.isFetching) void list.refetch();
  });
  const cases = useMemo(() => list.data?.pages.flatMap((page) => page.cases) ?? [], [list.data]);
  useEffect(() => rememberQueue(filter, cases.map((each) => each.case)), [filter, cases]);

  const [ticked, setTicked] = useState<ReadonlyMap<number, Case>>(new Map());
  const [bulk, setBulk] = useState<"ticked" | "all" | null>(null);
  useEffect(() => setTicked(new Map()), [filter]);
  const toggle = (each: Case) =>
    setTicked((now) => {
      const next = new Map(now);
      if (!next.delete(each.case)) next.set(each.case, each);
      return next;
    });

  const next = useMutation({
    mutationFn: api.nextCase,
    onSuccess: (mine) => {
      if (!mine) return say("Nothing waits: the queue is empty.");
      void queries.invalidateQueries({ queryKey: ["cases"] });
      go(href(`cases/${mine.case}`));
    },
    onError: (error) => say(errorText(error), { tone: "bad" }),
  });
  useShortcuts("Review queue", [
    ...(canDecide ? [{ key: "n", label: "Next case for me", run: () => next.mutate() }] : []),
    { key: "r", label: "Look again", run: () => void list.refetch() },
  ]);
  const change = (more: Filter) => swap(href("queue", { ...filter, ...more }));

  return (
    <div className="page full">
      <header>
        <h1>Review queue</h1>
        <span className="muted small" role="status">
          {list.data ? `${cases.length}${list.hasNextPage ? "+" : ""} ${cases.length === 1 ? "case" : "cases"}` : ""}
        </span>
        <span className="grow" />
        <Views filter={filter} />
        <button type="button" className="button" onClick={() => saveCsv("cases.csv", csvColumns, cases)} disabled={cases.length === 0}>
          CSV
        </button>
        {canDecide && (
          <button type="button" className="button primary" onClick={() => next.mutate()} disabled={next.isPending}>
            Next for me <Kbd>N</Kbd>
          </button>
        )}
      </header>
      <Filters filter={filter} change={change} />
      {ticked.size > 0 && (
        <div className="bulk">
          <strong>{ticked.size} chosen</strong>
          <button type="button" className="button" onClick={() => setBulk("ticked")}>
            Decide these …
          </button>
          <button type="button" className="button" onClick={() => setBulk("all")}>
            Decide all that the filter finds …
          </button>
          <button type="button" className="button quiet" onClick={() => setTicked(new Map())}>
            Choose none
          </button>
        </div>
      )}
      {list.error && <Fault error={list.error} again={() => void list.refetch()} />}
      {list.isPending ? (
        <div className="panel grow">
          <Loading lines={12} />
        </div>
      ) : cases.length === 0 && !list.error ? (
        <div className="panel grow">
          <NothingWaits filter={filter} />
        </div>
      ) : (
        <Rows
          cases={cases} ticked={ticked} toggle={toggle} canTick={canDecide} sort={filter.sort ?? "loss"}
          onSort={(sort) => change({ sort: sort === "loss" ? "" : sort })}
          more={list.hasNextPage && !list.isFetchingNextPage ? () => void list.fetchNextPage() : undefined}
          total={list.hasNextPage ? -1 : cases.length}
        />
      )}
      {bulk && (
        <BulkDialog
          what={bulk === "all" ? { filter } : { cases: [...ticked.values()] }}
          onClose={() => setBulk(null)}
          onDone={() => {
            setBulk(null);
            setTicked(new Map());
            void queries.invalidateQueries({ queryKey: ["cases"] });
          }}
        />
      )}
    </div>
  );
}

function NothingWaits({ filter }: { filter: Filter }) {
  const narrowed = Object.keys(filter).filter((name) => name !== "sort" && name !== "state");
  if (narrowed.length > 0 || (filter.state && filter.state !== "waiting"))
    return (
      <Blank title="No case fits">
        <p>The filter finds nothing. Take a part of it away, or look at all that waits.</p>
        <a className="button" href={href("queue")}>
          All that waits
        </a>
      </Blank>
    );
  return (
    <Blank title="Nothing waits">
      <p>
        A payment comes here when a rule or the score decides <em>review</em>. Cases are ranked by what they are expected
        to lose: probability of fraud times amount, less the cost of a review.
      </p>
      <a className="button" href={href("queue", { state: "decided", sort: "newest" })}>
        Decided cases
      </a>
    </Blank>
  );
}

const sortOf: Record<string, string> = { loss: "Expected loss", due: "Due", newest: "Newest" };

interface RowsProps {
  cases: Case[];
  ticked: ReadonlyMap<number, Case>;
  toggle: (each: Case) => void;
  canTick: boolean;
  sort: string;
  onSort: (sort: string) => void;
  more: (() => void) | undefined;
  total: number;
}

function Rows({ cases, ticked, toggle, canTick, sort, onSort, more, total }: RowsProps) {
  const isNarrow = useMedia("(max-width: 860px)");
  const box = useRef<HTMLDivElement>(null);
  const [at, setAt] = useState(0);
  const height = isNarrow ? 78 : 38;
  const rows = useVirtualizer({
    count: cases.length,
    getScrollElement: () => box.current,
    estimateSize: () => height,
    overscan: 12,
    scrollPaddingStart: isNarrow ? 0 : 34,
  });
  useEffect(() => rows.measure(), [rows, height]);
  const seen = rows.getVirtualItems();
  const lastSeen = seen[seen.length - 1]?.index ?? 0;
  useEffect(() => {
    if (more && lastSeen >= cases.length - 20) more();
  }, [more, lastSeen, cases.length]);

  // A row further down is drawn only after it was scrolled to: then it gets the focus.
  const wanted = useRef<number | null>(null);
  const focusWanted = () => {
    const row = box.current?.querySelector<HTMLElement>(`[data-row="${wanted.current}"]`);
    if (!row) return;
    row.focus({ preventScroll: true });
    wanted.current = null;
  };
  useEffect(() => {
    if (wanted.current !== null) focusWanted();
  });
  const here = useRef(0);
  here.current = wanted.current ?? at;
  const move = (by: number) => {
    const isInside = wanted.current !== null || box.current?.contains(document.activeElement);
    const to = Math.max(0, Math.min(cases.length - 1, here.current + (isInside || here.current > 0 ? by : 0)));
    here.current = wanted.current = to;
    setAt(to);
    rows.scrollToIndex(to);
    focusWanted();
  };
  const current = cases[at];
  const show = (each: Case | undefined) => each && go(href(`cases/${each.case}`));
  useShortcuts("Rows", [
    { key: "j", label: "Next row", run: () => move(1) },
    { key: "k", label: "Row before", run: () => move(-1) },
    { key: "ArrowDown", label: "Next row", run: () => move(1), isAlias: true },
    { key: "ArrowUp", label: "Row before", run: () => move(-1), isAlias: true },
    { key: "Enter", label: "Open the row", run: () => show(current) },
    ...(canTick ? [{ key: "x", label: "Choose the row", run: () => current && toggle(current) }] : []),
  ]);
  const onRowKey = (event: KeyboardEvent, each: Case) => {
    if (event.key === "Enter" && event.target === event.currentTarget) {
      event.preventDefault();
      event.stopPropagation();
      show(each);
    } else if (event.key === " " && event.target === event.currentTarget && canTick) {
      event.preventDefault();
      toggle(each);
    }
  };
  const sortable = (name: string, title: string, className: string) => (
    <span role="columnheader" className={className} aria-sort={sort === name ? (name === "due" ? "ascending" : "descending") : "none"}>
      <button type="button" onClick={() => onSort(name)}>
        {title}
        {sort === name && <span aria-hidden="true"> {name === "due" ? "↑" : "↓"}</span>}
      </button>
    </span>
  );

  return (
    <div className="grid" ref={box} role="grid" aria-label="Cases" aria-rowcount={total < 0 ? -1 : total + 1} aria-multiselectable={canTick}>
      <div className="head" role="row" aria-rowindex={1}>
        <span role="columnheader" className="c-tick">
          <span className="hidden">Chosen</span>
        </span>
        {sortable("loss", "Expected loss", "num c-loss")}
        <span role="columnheader" className="num c-amount">Amount</span>
        <span role="columnheader" className="c-score">Score</span>
        <span role="columnheader" className="c-action">Decided</span>
        <span role="columnheader" className="c-why">Why</span>
        <span role="columnheader" className="c-merchant">Merchant</span>
        <span role="columnheader" className="c-customer">Customer</span>
        <span role="columnheader" className="c-country" >Country</span>
        {sortable("due", "Due", "c-due")}
        <span role="columnheader" className="c-assignee">With</span>
      </div>
      <div className="rows" role="rowgroup" style={{ height: rows.getTotalSize() }}>
        {seen.map((item) => {
          const each = cases[item.index]!;
          return (
            <Row
              key={each.case} each={each} index={item.index} top={item.start} height={height} isCurrent={item.index === at}
              isTicked={ticked.has(each.case)} canTick={canTick} toggle={toggle} onFocus={() => setAt(item.index)}
              onOpen={() => show(each)} onKey={onRowKey}
            />
          );
        })}
      </div>
    </div>
  );
}

interface RowProps {
  each: Case;
  index: number;
  top: number;
  height: number;
  isCurrent: boolean;
  isTicked: boolean;
  canTick: boolean;
  toggle: (each: Case) => void;
  onFocus: () => void;
  onOpen: () => void;
  onKey: (event: KeyboardEvent, each: Case) => void;
}

function Row(props: RowProps) {
  const { each } = props;
  const base = useBaseCurrency();
  return (
    <div
      className="line" role="row" data-row={props.index} aria-rowindex={props.index + 2} aria-selected={props.isTicked}
      tabIndex={props.isCurrent ? 0 : -1} style={{ transform: `translateY(${props.top}px)`, height: props.height }}
      onFocus={props.onFocus} onClick={props.onOpen} onKeyDown={(event) => props.onKey(event, each)}
    >
      <span role="gridcell" className="c-tick">
        {props.canTick && (
          <label className="tick" onClick={(event) => event.stopPropagation()}>
            <input
              type="checkbox" tabIndex={-1} checked={props.isTicked} onChange={() => props.toggle(each)}
              aria-label={`Choose case ${each.case}`}
            />
          </label>
        )}
      </span>
      <span role="gridcell" className="num strong c-loss">{money(each.expected_loss_base_minor, base)}</span>
      <span role="gridcell" className="num c-amount">{money(each.amount_minor, each.currency)}</span>
      <span role="gridcell" className="c-score"><Meter score={each.score} /></span>
      <span role="gridcell" className="c-action"><ActionChip action={each.action} /></span>
      <span role="gridcell" className="cut c-why" title={each.rules.join(", ")}>
        {each.rules.length ? each.rules.map(words).join(", ") : "Score"}
      </span>
      <span role="gridcell" className="cut c-merchant" title={each.merchant_id}>{each.merchant_id || "–"}</span>
      <span role="gridcell" className="cut c-customer" title={each.customer_id}>{each.customer_id}</span>
      <span role="gridcell" className="c-country">{each.country || "–"}</span>
      <span role="gridcell" className="c-due nowrap"><State each={each} /></span>
      <span role="gridcell" className="cut c-assignee"><Assignee each={each} /></span>
    </div>
  );
}

function State({ each }: { each: Case }) {
  const now = useNow();
  if (each.state === "decided")
    return <Chip tone={each.outcome === "fraud" ? "bad" : each.outcome === "legit" ? "good" : "plain"}>{each.outcome}</Chip>;
  if (each.state === "snoozed") return <Chip>snoozed</Chip>;
  const left = due(each.due_at, now);
  return <span className={left.isLate ? "bad strong" : left.isSoon ? "warn strong" : ""}>{left.text}</span>;
}

function Assignee({ each }: { each: Case }) {
  const { user } = useSession();
  const who = each.decided_by ?? each.assignee;
  if (!who) return <span className="muted">nobody</span>;
  return <span className={who === user.name ? "strong" : ""}>{who === user.name ? "me" : who}</span>;
}

/* Filters */
function Filters({ filter, change }: { filter: Filter; change: (more: Filter) => void }) {
  const [entity, setEntity] = useState(filter.entity ?? "");
  useEffect(() => setEntity(filter.entity ?? ""), [filter.entity]);
  const search = (event: FormEvent) => {
    event.preventDefault();
    change({ entity: entity.trim() });
  };
  return (
    <div className="filters" role="search" aria-label="Filter of the queue">
      <select className="input" aria-label="State" value={filter.state ?? "waiting"} onChange={(event) => change({ state: event.target.value === "waiting" ? "" : event.target.value })}>
        <option value="waiting">Waiting</option>
        <option value="open">Open</option>
        <option value="assigned">Assigned</option>
        <option value="snoozed">Snoozed</option>
        <option value="decided">Decided</option>
        <option value="all">All</option>
      </select>
      <select className="input" aria-label="With whom" value={filter.assignee ?? ""} onChange={(event) => change({ assignee: event.target.value })}>
        <option value="">With anybody</option>
        <option value="me">With me</option>
        <option value="none">With nobody</option>
        {filter.assignee && !["me", "none"].includes(filter.assignee) && <option>{filter.assignee}</option>}
      </select>
      <select className="input" aria-label="Order" value={filter.sort ?? "loss"} onChange={(event) => change({ sort: event.target.value === "loss" ? "" : event.target.value })}>
        {Object.entries(sortOf).map(([value, label]) => (
          <option key={value} value={value}>
            {label} first
          </option>
        ))}
      </select>
      <form onSubmit={search} className="field-inline">
        <input
          className="input" type="search" aria-label="Customer, card, device, address, merchant or payment"
          placeholder="Customer, card, IP, payment …" value={entity} onChange={(event) => setEntity(event.target.value)}
        />
      </form>
      <MoreFilters filter={filter} change={change} />
      <Chosen filter={filter} change={change} />
    </div>
  );
}

const rangeText = (value: string, show: (part: string) => string): string => {
  const [from = "", to = ""] = value.split("..");
  return from && to ? `${show(from)} to ${show(to)}` : from ? `from ${show(from)}` : `up to ${show(to)}`;
};

function Chosen({ filter, change }: { filter: Filter; change: (more: Filter) => void }) {
  const base = useBaseCurrency();
  const texts: [string, string][] = [];
  if (filter.entity) texts.push(["entity", filter.entity]);
  if (filter.rule) texts.push(["rule", `rule ${words(filter.rule)}`]);
  if (filter.merchant) texts.push(["merchant", `merchant ${filter.merchant}`]);
  if (filter.country) texts.push(["country", `country ${filter.country}`]);
  if (filter.account) texts.push(["account", `account ${filter.account}`]);
  if (filter.amount) texts.push(["amount", `amount ${rangeText(filter.amount, (part) => money(Number(part), base))}`]);
  if (filter.score) texts.push(["score", `score ${rangeText(filter.score, (part) => percent(Number(part)))}`]);
  return (
    <>
      {texts.map(([name, text]) => (
        <span className="chip" key={name}>
          {text}
          <button type="button" aria-label={`Without ${text}`} onClick={() => change({ [name]: "" })}>
            ✕
          </button>
        </span>
      ))}
    </>
  );
}

function MoreFilters({ filter, change }: { filter: Filter; change: (more: Filter) => void }) {
  const base = useBaseCurrency();
  const [open, setOpen] = useState(false);
  const scale = 10 ** minorDigits(base);
  const [amountFrom = "", amountTo = ""] = (filter.amount ?? "").split("..");
  const [scoreFrom = "", scoreTo = ""] = (filter.score ?? "").split("..");
  const major = (minor: string) => (minor ? String(Number(minor) / scale) : "");
  const range = (from: string, to: string) => (from || to ? `${from}..${to}` : "");
  const apply = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const text = (name: string) => String(form.get(name) ?? "").trim();
    const minor = (name: string) => (text(name) ? String(Math.round(Number(text(name)) * scale)) : "");
    const share = (name: string) => (text(name) ? String(Number(text(name)) / 100) : "");
    change({
      rule: text("rule"),
      merchant: text("merchant"),
      country: text("country").toUpperCase(),
      account: text("account"),
      amount: range(minor("amount-from"), minor("amount-to")),
      score: range(share("score-from"), share("score-to")),
    });
    setOpen(false);
  };
  const of100 = (share: string) => (share ? String(Math.round(Number(share) * 10000) / 100) : "");
  return (
    <PopoverProvider open={open} setOpen={setOpen} placement="bottom-start">
      <PopoverDisclosure className="button">More filters</PopoverDisclosure>
      <Popover className="popover roomy" gutter={4} portal aria-label="More filters" unmountOnHide>
        <form className="stack" onSubmit={apply}>
          <div className="pair">
            <NumberField name="amount-from" label={`Amount from, ${base}`} value={major(amountFrom)} />
            <NumberField name="amount-to" label="to" value={major(amountTo)} />
            <NumberField name="score-from" label="Score from, %" value={of100(scoreFrom)} max={100} />
            <NumberField name="score-to" label="to" value={of100(scoreTo)} max={100} />
          </div>
          <TextField name="rule" label="Rule that fired (its id)" value={filter.rule} />
          <TextField name="merchant" label="Merchant" value={filter.merchant} />
          <div className="pair">
            <TextField name="country" label="Country" value={filter.country} max={2} />
            <TextField name="account" label="Account" value={filter.account} />
          </div>
          <button type="submit" className="button primary">
            Show these
          </button>
        </form>
      </Popover>
    </PopoverProvider>
  );
}

function NumberField(props: { name: string; label: string; value: string; max?: number }) {
  return (
    <div className="field">
      <label htmlFor={props.name}>{props.label}</label>
      <input id={props.name} name={props.name} className="input" type="number" min={0} max={props.max} step="any" defaultValue={props.value} />
    </div>
  );
}

function TextField(props: { name: string; label: string; value: string | undefined; max?: number }) {
  return (
    <div className="field">
      <label htmlFor={`filter-${props.name}`}>{props.label}</label>
      <input id={`filter-${props.name}`} name={props.name} className="input" maxLength={props.max ?? 128} defaultValue={props.value ?? ""} />
    </div>
  );
}

const csvColumns: (keyof Case)[] = [
  "case", "account", "transaction_id", "state", "action", "score", "expected_loss_base_minor", "amount_minor", "currency",
  "occurred_at", "due_at", "customer_id", "card_id", "merchant_id", "device_id", "ip", "country", "channel", "rules",
  "assignee", "outcome", "reason", "decided_by", "decided_at",
];
