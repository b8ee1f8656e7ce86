/* Being a service: requests from outside, and saying how we are.
 *
 * Linux: signals and sd_notify(3).  FreeBSD: signals; daemon(8) watches us.
 * Windows: the SCM's controls (128 reloads), or the console's. */
#ifndef SA_OS_DAEMON_H
#define SA_OS_DAEMON_H

#include <stdbool.h>

#include <apr_time.h>

#include "sa_error.h"

/* Prepare the process, before the first thread: block the signals that
 * sa_os_daemon_wait() takes, ignore SIGPIPE, no core dump and no ptrace by
 * others (secrets), umask 077, few malloc arenas, standard descriptors open. */
void sa_os_daemon_init(void);

/* Close every descriptor above standard error that whoever started us left
 * open: it is not ours.  First thing in main(). */
void sa_os_daemon_close_inherited(void);

typedef enum sa_os_request_t {
    SA_OS_REQUEST_NONE,     /* the time has passed */
    SA_OS_REQUEST_STOP,     /* SIGTERM, SIGINT; SCM stop */
    SA_OS_REQUEST_RELOAD,   /* SIGHUP; SCM control 128 */
    SA_OS_REQUEST_NETWORK   /* see sa_os_network.h */
} sa_os_request_t;

/* Wait for a request until DEADLINE (monotonic, SA_OS_NEVER).  Main thread. */
sa_os_request_t sa_os_daemon_wait(apr_interval_time_t deadline);

/* Let a running sa_os_daemon_wait(), or the next, return SA_OS_REQUEST_NONE.  Any thread. */
void sa_os_daemon_wake(void);

/* End the process at once, from another thread, unless it has ended by itself
 * after TIMEOUT: the last resort when a stop hangs. */
void sa_os_daemon_kill_after(apr_interval_time_t timeout);

/* Tell the service manager; nothing happens where there is none.  A NULL
 * status leaves the one before. */
void sa_os_notify_ready(const char *status);
void sa_os_notify_reloading(void);
void sa_os_notify_stopping(void);
void sa_os_notify_status(const char *status);
void sa_os_notify_alive(void);
/* How often it wants to hear that we are alive, at the least (systemd:
 * WatchdogSec; say it twice as often); 0: not at all. */
apr_interval_time_t sa_os_notify_interval(void);

/* One entry with fields of its own (NAME in capitals) for the system's journal; nothing
 * happens where it did not start us.  May wait for the journal: not from a thread that
 * answers. */
typedef struct sa_os_note_t {
    const char *name;
    const char *value;
} sa_os_note_t;
#define SA_OS_NOTES_MAX 16
bool sa_os_has_journal(void);
void sa_os_journal_send(const char *message, const sa_os_note_t *notes, int count);

/* Is standard error (or output) a terminal?  Does it go to the journal? */
bool sa_os_console_is_terminal(bool error);
bool sa_os_console_is_journal(void);

#endif
