/* os: telling systemd how we are, through libsystemd.  Any thread.  Failures
 * are ignored: who does not listen to us cannot be told so. */
#include "sa_os_daemon.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/stat.h>

#include <sys/uio.h>

#include <systemd/sd-daemon.h>
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "sa_os_clock.h"

#define STATUS_SIZE 512
#define NOTE_SIZE 1024

/* A line break would begin another assignment. */
static const char *one_line(char buffer[STATUS_SIZE], const char *text)
{
    snprintf(buffer, STATUS_SIZE, "%s", text ? text : "");
    for (char *at = buffer; *at; at++) {
        if ((unsigned char)*at < ' ') {
            *at = ' ';
        }
    }
    return buffer;
}

void sa_os_notify_ready(const char *status)
{
    char line[STATUS_SIZE];

    if (!status) {
        sd_notify(0, "READY=1");
        return;
    }
    sd_notifyf(0, "READY=1\nSTATUS=%s", one_line(line, status));
}

void sa_os_notify_reloading(void)
{
    /* Type=notify-reload wants to know whether this answers its SIGHUP. */
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRId64, (int64_t)sa_os_clock_mono());
}

void sa_os_notify_stopping(void)
{
    sd_notify(0, "STOPPING=1");
}

void sa_os_notify_status(const char *status)
{
    char line[STATUS_SIZE];

    sd_notifyf(0, "STATUS=%s", one_line(line, status));
}

void sa_os_notify_alive(void)
{
    sd_notify(0, "WATCHDOG=1");
}

apr_interval_time_t sa_os_notify_interval(void)
{
    uint64_t timeout_us = 0;

    if (sd_watchdog_enabled(0, &timeout_us) <= 0) {
        return 0;
    }
    return (apr_interval_time_t)timeout_us;
}

bool sa_os_console_is_journal(void)
{
    const char *text = getenv("JOURNAL_STREAM");    /* "device:inode" */
    uintmax_t device;
    uintmax_t inode;
    struct stat info;
    char rest;

    if (!text || sscanf(text, "%ju:%ju%c", &device, &inode, &rest) != 2) {
        return false;
    }
    /* The variable is inherited by children whose standard error is another. */
    return fstat(STDERR_FILENO, &info) == 0 && info.st_dev == device && info.st_ino == inode;
}

/* Since systemd 248 we are told who was started; before, the stream tells. */
bool sa_os_has_journal(void)
{
    const char *text = getenv("SYSTEMD_EXEC_PID");

    return text ? strtol(text, NULL, 10) == (long)getpid() : sa_os_console_is_journal();
}

void sa_os_journal_send(const char *message, const sa_os_note_t *notes, int count)
{
    char fields[SA_OS_NOTES_MAX + 1][NOTE_SIZE];
    struct iovec vectors[SA_OS_NOTES_MAX + 1];

    if (!sa_os_has_journal() || count > SA_OS_NOTES_MAX) {
        return;
    }
    for (int i = 0; i <= count; i++) {
        int length = snprintf(fields[i], NOTE_SIZE, "%s=%s", i < count ? notes[i].name : "MESSAGE",
                              i < count ? notes[i].value : message);

        vectors[i].iov_base = fields[i];
        vectors[i].iov_len = (size_t)(length < NOTE_SIZE ? length : NOTE_SIZE - 1);
    }
    sd_journal_sendv(vectors, count + 1);
}
