// SPDX-License-Identifier: Apache-2.0
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Refused } from "./api";
import { App } from "./app";
import { pageAt } from "./pages";
import { parseRoute } from "./route";
import "./style.css";
import { showTheme, theme } from "./theme";
import { Toaster } from "./ui";

showTheme(theme());
// Its view comes while the session is asked for. What fails here fails again where it is drawn, and is told there.
pageAt(parseRoute(window.location.hash).path[0])?.load().catch(() => {});

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 5000,
      // What was refused for a reason is refused again; what could not be reached may come back.
      retry: (failures, error) => failures < 2 && error instanceof Refused && (error.status === 0 || error.status === 503),
    },
  },
});

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <QueryClientProvider client={queries}>
      <Toaster>
        <App />
      </Toaster>
    </QueryClientProvider>
  </StrictMode>,
);
