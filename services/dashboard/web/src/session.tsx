// SPDX-License-Identifier: Apache-2.0
// Who is logged in, for every page.
import { createContext, useContext } from "react";
import type { Role, Session } from "./api";

export const SessionContext = createContext<Session | null>(null);

export function useSession(): Session {
  const session = useContext(SessionContext);
  if (!session) throw new Error("this page needs a session");
  return session;
}

/** Whether the one who is logged in has one of the roles. */
export function useMay(...roles: Role[]): boolean {
  const { user } = useSession();
  return roles.some((role) => user.roles.includes(role));
}

export const useBaseCurrency = (): string => useSession().base_currency ?? "USD";
