// SPDX-License-Identifier: Apache-2.0
// What stands around every page: log-in first, then navigation, search, theme, help.
import { Menu, MenuButton, MenuItem, MenuProvider } from "@ariakit/react/menu";
import { useQueries, useQuery, useQueryClient } from "@tanstack/react-query";
import { Suspense, lazy, useEffect, useRef, useState } from "react";
import { Refused, type Role, type Session, api, errorText, onLoggedOut } from "./api";
import { ErrorBoundary } from "./boundary";
import { Icon } from "./icons";
import { LogIn } from "./pages/login";
import { type Page, mayOpen, pages } from "./pages";
import { go, href, useRoute } from "./route";
import { SessionContext } from "./session";
import { useShortcuts } from "./shortcuts";
import { type Theme, setTheme, theme } from "./theme";
import { Blank, Fault, Kbd, Loading, useSay } from "./ui";

const Palette = lazy(() => import("./palette"));
const Help = lazy(() => import("./help"));
const Password = lazy(() => import("./pages/password"));

export function App() {
  const queries = useQueryClient();
  const session = useQuery({
    queryKey: ["session"],
    queryFn: api.session,
    staleTime: Infinity,
    refetchOnWindowFocus: false,
  });
  const [isGone, setIsGone] = useState(false);
  useEffect(
    () =>
      onLoggedOut(() => {
        setIsGone(true);
        queries.removeQueries({ predicate: (query) => query.queryKey[0] !== "session" });
      }),
    [queries],
  );
  const enter = (fresh: Session) => {
    queries.removeQueries({ predicate: (query) => query.queryKey[0] !== "session" });
    queries.setQueryData(["session"], fresh);
    setIsGone(false);
  };
  if (session.isPending) return <Loading />;
  const refused = session.error;
  if (isGone || (refused instanceof Refused && refused.status === 401))
    return <LogIn onEnter={enter} wasInside={isGone} />;
  if (!session.data)
    return (
      <div className="page">
        <Fault error={refused} again={() => void session.refetch()} />
      </div>
    );
  return (
    <SessionContext.Provider value={session.data}>
      <Shell session={session.data} onLeave={() => setIsGone(true)} />
    </SessionContext.Provider>
  );
}

const settledMs = 1000;

/** Pages that the service turns out not to have. It is asked when the first page has had its time: until then all are
    taken to be there. */
function useLacking(roles: Role[]): Page[] {
  const [isSettled, setIsSettled] = useState(false);
  useEffect(() => {
    const timer = window.setTimeout(() => setIsSettled(true), settledMs);
    return () => window.clearTimeout(timer);
  }, []);
  const asked = pages.filter((each) => each.needs && mayOpen(each, roles));
  const there = useQueries({
    queries: asked.map((each) => ({
      queryKey: ["has", each.needs], queryFn: () => api.has(each.needs!), staleTime: Infinity, enabled: isSettled,
    })),
  });
  return asked.filter((_, i) => there[i]?.data === false);
}

function Shell({ session, onLeave }: { session: Session; onLeave: () => void }) {
  const route = useRoute();
  const [open, setOpen] = useState<"palette" | "help" | "password" | null>(null);
  const main = useRef<HTMLElement>(null);
  const { roles } = session.user;
  const lacking = useLacking(roles);
  const mine = pages.filter((each) => !each.isInner && mayOpen(each, roles) && !lacking.includes(each));
  const page = pages.find((each) => each.path === (route.path[0] ?? mine[0]?.path) && !lacking.includes(each));
  const place = route.path.join("/");
  const isFirst = useRef(true);

  useEffect(() => {
    if (isFirst.current) isFirst.current = false;
    else main.current?.focus({ preventScroll: true });
  }, [place]);

  useShortcuts("Everywhere", [
    { key: "mod+k", label: "Search and commands", run: () => setOpen("palette") },
    { key: "/", label: "Search and commands", run: () => setOpen("palette"), isAlias: true },
    { key: "?", label: "Keys that work here", run: () => setOpen("help") },
    ...mine.flatMap((each) =>
      each.key ? [{ key: `g ${each.key}`, label: each.title, run: () => go(href(each.path)) }] : [],
    ),
  ]);

  return (
    <div className="shell">
      <a
        className="skip"
        href="#main"
        onClick={(event) => {
          event.preventDefault();
          main.current?.focus();
        }}
      >
        Skip to the page
      </a>
      <nav aria-label="Pages">
        <div className="brand">
          <img src="/icon.svg" alt="" />
          <span>Assay</span>
        </div>
        {mine.map((each) => (
          <a
            key={each.path}
            className="nav"
            href={href(each.path)}
            title={each.title}
            aria-current={each === page || (page?.isInner && each.path === "queue") ? "page" : undefined}
          >
            <Icon name={each.icon} />
            <span>{each.title}</span>
          </a>
        ))}
      </nav>
      <header className="bar">
        <button type="button" className="search" onClick={() => setOpen("palette")} aria-keyshortcuts="Control+K">
          <Icon name="search" />
          <span className="grow">Search and commands</span>
          <Kbd>Ctrl K</Kbd>
        </button>
        <span className="grow" />
        <button type="button" className="button quiet icon" aria-label="Keys that work here" onClick={() => setOpen("help")}>
          <Icon name="keyboard" />
        </button>
        <UserMenu session={session} onLeave={onLeave} onPassword={() => setOpen("password")} />
      </header>
      <main ref={main} tabIndex={-1} id="main">
        <ErrorBoundary key={place}>
          <Suspense fallback={<Loading />}>
            <Body page={page} session={session} />
          </Suspense>
        </ErrorBoundary>
      </main>
      <Suspense fallback={null}>
        {open === "palette" && <Palette pages={mine} onClose={() => setOpen(null)} onHelp={() => setOpen("help")} />}
        {open === "help" && <Help onClose={() => setOpen(null)} />}
        {open === "password" && <Password onClose={() => setOpen(null)} />}
      </Suspense>
    </div>
  );
}

function Body({ page, session }: { page: Page | undefined; session: Session }) {
  if (!page)
    return (
      <Blank title="There is no such page" isPage>
        <p>
          The address may be old. <a href="#/">Go to the first page</a>.
        </p>
      </Blank>
    );
  if (!mayOpen(page, session.user.roles))
    return (
      <Blank title="Your roles do not open this page" isPage>
        <p>
          It is for: {page.roles.join(", ")}. You are: {session.user.roles.join(", ") || "without a role"}. Whoever is
          admin can give you a role.
        </p>
      </Blank>
    );
  return <page.view />;
}

const themes: { theme: Theme; label: string }[] = [
  { theme: "system", label: "As the system" },
  { theme: "light", label: "Light" },
  { theme: "dark", label: "Dark" },
];

function UserMenu(props: { session: Session; onLeave: () => void; onPassword: () => void }) {
  const { user } = props.session;
  const [chosen, setChosen] = useState(theme());
  const say = useSay();
  const leave = async () => {
    try {
      await api.logOut();
      props.onLeave();
    } catch (error) {
      say(errorText(error), { tone: "bad" });
    }
  };
  return (
    <MenuProvider placement="bottom-end">
      <MenuButton className="button quiet" aria-label={`${user.full_name || user.name}: account and theme`}>
        <Icon name="user" />
        <span className="user-name">{user.full_name || user.name}</span>
      </MenuButton>
      <Menu className="popover" gutter={4} portal>
        <p className="small muted item">{user.roles.join(", ") || "without a role"}</p>
        <hr className="sep" />
        {themes.map((each) => (
          <MenuItem
            key={each.theme}
            className="item"
            onClick={() => {
              setTheme(each.theme);
              setChosen(each.theme);
            }}
          >
            <Icon name="theme" />
            <span className="grow">{each.label}</span>
            {chosen === each.theme && <span>✓<span className="hidden"> chosen</span></span>}
          </MenuItem>
        ))}
        <hr className="sep" />
        <MenuItem className="item" onClick={props.onPassword}>
          Change password
        </MenuItem>
        <MenuItem className="item" onClick={() => void leave()}>
          Log out
        </MenuItem>
      </Menu>
    </MenuProvider>
  );
}
