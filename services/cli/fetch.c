/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch.h"

#include <curl/curl.h>
#include <stdio.h>

enum { BODY_MOST = 16 << 20, BEARER_BYTES = 512 };

static size_t on_body(char *bytes, size_t one, size_t len, void *arg)
{
    return buf_add(arg, bytes, one * len) ? one * len : 0;
}

enum err fetch(const char *url, const char *bearer, const char *ca, long timeout_ms, int *status,
               struct buf *body, struct why *why)
{
    CURL *curl = curl_easy_init();
    struct curl_slist *headers = NULL;
    char authorization[BEARER_BYTES];
    long code = 0;
    CURLcode result;
    enum err err = ERR_OK;

    buf_clear(body);
    body->cap = BODY_MOST;
    if (bearer) {
        snprintf(authorization, sizeof authorization, "Authorization: Bearer %s", bearer);
        headers = curl_slist_append(NULL, authorization);
    }
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    if (ca)
        curl_easy_setopt(curl, CURLOPT_CAINFO, ca);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, timeout_ms);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, body);
    result = curl_easy_perform(curl);
    if (result == CURLE_OK)
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &code);
    else
        err = err_set(why,
                      result == CURLE_OPERATION_TIMEDOUT ? ERR_TIMEOUT
                      : result == CURLE_WRITE_ERROR      ? ERR_TOO_LARGE
                                                         : ERR_UNAVAILABLE,
                      "%s: %s", url, curl_easy_strerror(result));
    *status = (int)code;
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return err;
}
