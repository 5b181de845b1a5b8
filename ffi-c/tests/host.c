/* SPDX-License-Identifier: Apache-2.0
 *
 * What the library may do to the process that it lives in:
 *
 *   host pipe <options-json>           a write to a closed peer does not kill it
 *   host fork <options-json> <target>  a child that opens a client has one of its own
 */
#include <dirent.h>
#include <proxyless.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(what)                                                        \
  do {                                                                     \
    if (!(what)) {                                                         \
      fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #what, err.message); \
      _exit(1);                                                            \
    }                                                                      \
  } while (0)

static pxl_error err;

static pxl_str str(const char *text) { return (pxl_str){text, strlen(text)}; }

static pxl_client *opened(const char *options) {
  pxl_client *client = NULL;
  CHECK(pxl_client_open(str(options), &client, &err) == PXL_OK);
  return client;
}

/* Waits until the target has this many endpoints. */
static void follow(const pxl_client *client, const char *name, size_t count) {
  uint64_t seen = 0;
  for (;;) {
    CHECK(pxl_client_wait(client, seen, 20000, &seen, &err) == PXL_OK);
    pxl_snapshot *snapshot = NULL;
    CHECK(pxl_client_snapshot(client, &snapshot, &err) == PXL_OK);
    pxl_target target;
    pxl_status status = pxl_snapshot_target(snapshot, str(name), &target, &err);
    size_t found = status == PXL_OK ? target.endpoint_count : 0;
    pxl_snapshot_free(snapshot);
    if (found == count) return;
  }
}

/* Sends SIGPIPE to every thread but this one, as the kernel does to one that writes to a closed peer; returns how many there were. */
static int pipes(void) {
  int sent = 0;
  DIR *tasks = opendir("/proc/self/task");
  CHECK(tasks);
  for (struct dirent *task; (task = readdir(tasks));) {
    pid_t thread = atoi(task->d_name);
    if (thread <= 0 || thread == getpid()) continue;
    if (syscall(SYS_tgkill, getpid(), thread, SIGPIPE) == 0) sent++;
  }
  closedir(tasks);
  return sent;
}

static int pipe_host(const char *options) {
  signal(SIGPIPE, SIG_DFL);
  pxl_client *client = opened(options);
  CHECK(pxl_client_watch(client, str("a"), &err) == PXL_OK);
  /* The answer comes from the thread that also writes: it has been through user code before and after the signal. */
  pxl_buf before, after;
  CHECK(pxl_client_describe(client, &before, &err) == PXL_OK);
  CHECK(pipes() >= 1);
  CHECK(pxl_client_describe(client, &after, &err) == PXL_OK);
  pxl_buf_free(before);
  pxl_buf_free(after);
  pxl_client_free(client);
  puts("alive");
  return 0;
}

static int fork_host(const char *options, const char *target) {
  pxl_client *parents = opened(options);
  CHECK(pxl_client_watch(parents, str(target), &err) == PXL_OK);
  follow(parents, target, 2);
  pid_t child = fork();
  if (child == 0) {
    uint64_t epoch;
    CHECK(pxl_client_wait(parents, 0, 0, &epoch, &err) == PXL_ERR_FORKED);
    CHECK(pxl_client_watch(parents, str(target), &err) == PXL_ERR_FORKED);
    CHECK(pxl_client_stale_ms(parents) >= 0);
    pxl_client *own = opened(options);
    CHECK(pxl_client_watch(own, str(target), &err) == PXL_OK);
    follow(own, target, 2);
    CHECK(pxl_client_stale_ms(own) == -1);
    pxl_client_shutdown(parents);
    pxl_client_free(parents);
    pxl_client_free(own);
    _exit(0);
  }
  int status = 0;
  CHECK(child > 0 && waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  /* The parent's goes on. */
  CHECK(pxl_client_stale_ms(parents) == -1);
  pxl_client_free(parents);
  puts("both");
  return 0;
}

int main(int argc, char **argv) {
  alarm(60);
  if (argc == 3 && !strcmp(argv[1], "pipe")) return pipe_host(argv[2]);
  if (argc == 4 && !strcmp(argv[1], "fork")) return fork_host(argv[2], argv[3]);
  fprintf(stderr, "usage: %s pipe <options> | fork <options> <target>\n", argv[0]);
  return 2;
}
