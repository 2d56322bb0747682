/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine/vm/guest/agent_internal.h"
#include "util/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/*
 * The agent's frames without its processes: a command is a few pipes here, whose other ends the fuzzer holds. The first
 * bytes of the input say how the stream is cut up, and between the pieces the commands get on: one is told that it was
 * executed, writes, reads, ends.
 */
enum { COMMANDS_MAX = 16, READ_MAX = 3000 };

static struct {
	pid_t pid;
	int report, in, out, err;
} commands[COMMANDS_MAX];
static unsigned int n_commands;
static pid_t next_pid;

static void make(int *ours, int *theirs, bool to_command)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		abort();
	*ours = ends[to_command];
	*theirs = ends[!to_command];
}

int agent_command_start(struct agent_channel *ch, const struct bv_exec *e, const struct bv_config *cfg,
			struct bv_error *err)
{
	(void)cfg;
	if (n_commands == COMMANDS_MAX || (e->flags & BV_EXEC_KEEP_CAPS))
		return bv_fail(err, EAGAIN, "cannot fork");
	make(&ch->report, &commands[n_commands].report, false);
	make(&ch->in[AGENT_INPUT_STDIN].fd, &commands[n_commands].in, true);
	make(&ch->out[AGENT_OUTPUT_STDOUT].fd, &commands[n_commands].out, false);
	make(&ch->out[AGENT_OUTPUT_STDERR].fd, &commands[n_commands].err, false);
	ch->out[AGENT_OUTPUT_STDOUT].stream = BV_STREAM_OUT;
	ch->out[AGENT_OUTPUT_STDERR].stream = BV_STREAM_ERR;
	ch->pid = commands[n_commands].pid = ++next_pid;
	n_commands++;
	return 0;
}

void agent_command_signal(pid_t pid, int sig)
{
	if (pid <= 0 || sig < 1 || sig > AGENT_SIGNALS)
		abort();
}

int agent_machine_frame(struct agent *a, const struct bv_frame *f)
{
	struct bv_cursor c = bv_cursor_of(f);
	(void)a;
	bv_get_u32(&c);
	bv_get_u32(&c);
	return f->type == BV_FRAME_INIT ? bv_cursor_end(&c) : -EPROTO;
}

/* What goes out is whole frames, each for the host's eyes. */
static void take_output(struct agent *a)
{
	const uint8_t *bytes;
	size_t len;
	while ((bytes = agent_to_send(a, &len))) {
		struct bv_frame f;
		if (bv_frame_parse(&f, bytes, len) != (int)len || f.type < BV_FRAME_STARTED || f.len > AGENT_CHUNK)
			abort();
		agent_sent(a, len);
	}
}

static void check_state(const struct agent *a)
{
	unsigned int n = 0;
	for (const struct agent_channel *ch = a->channels; ch; ch = ch->next, n++) {
		if (!ch->id || agent_channel_find(a, ch->id) != ch || ch->may_come > BV_FRAME_WINDOW ||
		    ch->may_send > BV_FRAME_WINDOW)
			abort();
		for (int i = 0; i < AGENT_INPUTS; i++)
			if (ch->in[i].data.len > BV_FRAME_WINDOW)
				abort();
	}
	if (n != a->n_channels || a->in.len > BV_FRAME_HEADER + BV_FRAME_MAX || (a->broken && n))
		abort();
}

/* One step of the command's own doing, chosen by `what`. */
static void act(struct agent *a, unsigned int which, uint8_t what)
{
	static char bytes[READ_MAX];
	struct agent_report report = { .code = 127 };
	if (which >= n_commands)
		return;
	switch (what % 6) {
	case 0:
		close_fd(&commands[which].report);
		break;
	case 1:
		(void)!write(commands[which].report, &report, sizeof(report));
		break;
	case 2:
		(void)!write(commands[which].out, bytes, sizeof(bytes));
		(void)!write(commands[which].err, bytes, 10);
		break;
	case 3:
		(void)!read(commands[which].in, bytes, sizeof(bytes));
		break;
	case 4:
		close_fd(&commands[which].in);
		close_fd(&commands[which].out);
		break;
	default:
		close_fd(&commands[which].report);
		agent_channel_reaped(a, commands[which].pid, 0);
		break;
	}
}

static void turn(struct agent *a, int64_t now)
{
	for (struct agent_channel *ch = a->channels, *next; ch; ch = next) {
		struct pollfd fds[AGENT_CHANNEL_FDS];
		next = ch->next;
		agent_channel_poll(a, ch, fds);
		if (poll(fds, AGENT_CHANNEL_FDS, 0) > 0)
			agent_channel_serve(a, ch, fds, now);
	}
	for (struct agent_channel *ch = a->channels, *next; ch; ch = next) {
		next = ch->next;
		agent_channel_age(a, ch, now, 30);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum { STEPS = 24 };
	struct agent a = { .port = -1, .netlink = -1 };
	if (size < STEPS)
		return 0;
	signal(SIGPIPE, SIG_IGN);
	agent_stream_init(&a);
	n_commands = 0;
	const uint8_t *steps = data;
	size_t at = STEPS;
	for (unsigned int i = 0; i < STEPS; i++) {
		size_t n = i + 1 < STEPS ? (size_t)steps[i] * 8 : size - at;
		n = n < size - at ? n : size - at;
		agent_receive(&a, data + at, n);
		at += n;
		check_state(&a);
		act(&a, steps[i] / 6 % 4, steps[i]);
		turn(&a, 1000 + 40 * (int64_t)i);
		if (steps[i] & 1)
			take_output(&a);
	}
	take_output(&a);
	check_state(&a);
	agent_forget_host(&a);
	if (a.channels || a.n_channels || a.first || a.queued)
		abort();
	for (unsigned int i = 0; i < n_commands; i++) {
		close_fd(&commands[i].report);
		close_fd(&commands[i].in);
		close_fd(&commands[i].out);
		close_fd(&commands[i].err);
	}
	return 0;
}
