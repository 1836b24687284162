/* Single steps of a traced child, and what they changed in memory that it shares with its tracer.

   A page that is not in memory was never written: it is neither read nor compared, because a segment
   is far larger than what a test touches of it. libc has functions `step` and `advance` of its own. */

#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#define PAGE 4096
#define PAGES_EACH 1024 /* that one mincore() asks about */

struct memory {
    char *shared; /* mapped, at a page's begin */
    char *seen;   /* what was seen of it last */
    size_t size;
};

/* The next page that is in memory from `at` on, or the size. */
static size_t next_page(const struct memory *memory, size_t at, unsigned char *present, size_t *known)
{
    for (; at < memory->size; at += PAGE) {
        size_t index = at / PAGE;
        if (index >= *known) {
            size_t length = memory->size - at;
            if (length > PAGES_EACH * (size_t)PAGE)
                length = PAGES_EACH * (size_t)PAGE;
            if (mincore(memory->shared + at, length, present) < 0)
                memset(present, 1, PAGES_EACH);
            *known = index + (length + PAGE - 1) / PAGE;
        }
        if (present[index % PAGES_EACH] & 1)
            return at;
    }
    return memory->size;
}

static size_t page_length(const struct memory *memory, size_t at)
{
    return memory->size - at < PAGE ? memory->size - at : PAGE;
}

/* Remember what is in memory now; says whether it was something else before. */
int look_again(const struct memory *memory)
{
    unsigned char present[PAGES_EACH];
    size_t known = 0, at = 0;
    int changed = 0;

    for (; (at = next_page(memory, at, present, &known)) < memory->size; at += PAGE) {
        size_t length = page_length(memory, at);
        if (memcmp(memory->shared + at, memory->seen + at, length) != 0) {
            memcpy(memory->seen + at, memory->shared + at, length);
            changed = 1;
        }
    }
    return changed;
}

/* Make the memory what it was when `content` was seen. */
void put_back(const struct memory *memory, const char *content)
{
    unsigned char present[PAGES_EACH];
    size_t known = 0, at = 0;

    for (; (at = next_page(memory, at, present, &known)) < memory->size; at += PAGE) {
        size_t length = page_length(memory, at);
        if (memcmp(memory->shared + at, content + at, length) != 0)
            memcpy(memory->shared + at, content + at, length);
    }
}

/* Run at most `count` instructions, less when the child ends: how many, with the status of its last
   stop, or -1 with errno. */
long run_steps(int pid, long count, int *status)
{
    long done = 0;

    while (done < count) {
        if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) < 0 || waitpid(pid, status, 0) < 0)
            return -1;
        done++;
        if (!WIFSTOPPED(*status))
            break;
    }
    return done;
}

/* Run until one of the memories changes or the child ends: how many instructions, or -1. */
long step_to_change(int pid, const struct memory *memories, int number, int *status)
{
    long done = 0;

    for (;;) {
        int changed = 0;
        if (run_steps(pid, 1, status) < 0)
            return -1;
        done++;
        if (!WIFSTOPPED(*status))
            return done;
        for (int each = 0; each < number; each++)
            changed |= look_again(memories + each);
        if (changed)
            return done;
    }
}
