/* A Video4Linux2 camera of one process: a regular file in place of a driver, for FFmpeg's own code.
 *
 * cc -shared -fPIC -o fake_v4l2.so fake_v4l2.c -ldl
 * LD_PRELOAD=./fake_v4l2.so FAKE_V4L2=PATH program
 *
 * PATH is opened as the device. PATH.MJPG and PATH.YUYV hold what it sends in that format, over and
 * over: for each picture its size (32 bits, little-endian), then its bytes. A format without a file
 * is refused. FAKE_V4L2_SIZE (64x48) is its only size, FAKE_V4L2_FPS (30) its only rate.
 * FAKE_V4L2_EVENTS holds for the first opening: "N:what" parted by commas, N the number of a frame,
 * and what one of
 *   unplug  PATH is removed, every call fails
 *   hang    no frame comes any more
 *   error   the driver calls the frame damaged
 *   short   half of the frame's bytes
 *   busy    opening is refused; N is 0
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MOST_BUFFERS = 32, MOST_BYTES = 1 << 21 };

static struct {
    int fd, closed_fd, opened, streaming, buffers;
    __u32 format;
    long next;             /* number of the next frame */
    long long start_ns;
    int queue[MOST_BUFFERS], queued;
    int full[MOST_BUFFERS], filled;
    long full_number[MOST_BUFFERS];
    unsigned char *memory, *data;
    size_t data_bytes;
    int dead;
} d = {.fd = -1, .closed_fd = -1};
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static const char *setting(const char *name, const char *otherwise) {
    const char *value = getenv(name);
    return value ? value : otherwise;
}

static void size(unsigned *wide, unsigned *high) {
    sscanf(setting("FAKE_V4L2_SIZE", "64x48"), "%ux%u", wide, high);
}

static int happens(long number, const char *what) {
    char list[256], *rest = list, *one;
    if (d.opened > 1) return 0;
    snprintf(list, sizeof list, "%s", setting("FAKE_V4L2_EVENTS", ""));
    while ((one = strsep(&rest, ","))) {
        char *colon = strchr(one, ':');
        if (colon && !strcmp(colon + 1, what)) {
            long at = atol(one);
            int lasts = !strcmp(what, "unplug") || !strcmp(what, "hang") || !strcmp(what, "busy");
            if (lasts ? number >= at : number == at) return 1;
        }
    }
    return 0;
}

static long long now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static long long due_ns(long number) {
    return d.start_ns + (long long)((number + 1) * 1e9 / atof(setting("FAKE_V4L2_FPS", "30")));
}

/* Fill waiting buffers with the frames that are due; frames without a buffer are lost. */
static void advance(void) {
    while (d.streaming && !d.dead && due_ns(d.next) <= now_ns()) {
        if (happens(d.next, "hang")) return;
        if (happens(d.next, "unplug")) {
            unlink(setting("FAKE_V4L2", ""));
            d.dead = 1;
            return;
        }
        if (d.queued) {
            d.full[d.filled] = d.queue[0];
            d.full_number[d.filled++] = d.next;
            memmove(d.queue, d.queue + 1, sizeof(int) * --d.queued);
        }
        d.next++;
    }
}

static int wait_frame(long long until_ns) { /* 1 = a frame, -1 = dead, 0 = time is up */
    for (;;) {
        pthread_mutex_lock(&lock);
        advance();
        int state = d.dead ? -1 : d.filled > 0;
        pthread_mutex_unlock(&lock);
        if (state || now_ns() >= until_ns) return state;
        usleep(500);
    }
}

static int has(__u32 format, char *path, size_t length) {
    snprintf(path, length, "%s.%.4s", setting("FAKE_V4L2", ""), (char *)&format);
    return !access(path, R_OK);
}

static int sends(__u32 format) {
    char path[4096];
    return has(format, path, sizeof path);
}

static void load(__u32 format) {
    char path[4096];
    has(format, path, sizeof path);
    FILE *file = fopen(path, "rb");
    if (!file) return;
    struct stat about;
    fstat(fileno(file), &about);
    free(d.data);
    d.data = malloc(about.st_size);
    d.data_bytes = fread(d.data, 1, about.st_size, file);
    fclose(file);
}

static __u32 picture(long number, unsigned char **bytes) {
    long count = 0;
    for (size_t at = 0; at + 4 <= d.data_bytes; count++) at += 4 + *(__u32 *)(d.data + at);
    size_t at = 0;
    for (long left = number % count; left; left--) at += 4 + *(__u32 *)(d.data + at);
    *bytes = d.data + at + 4;
    return *(__u32 *)(d.data + at);
}

static int fail(int error) { errno = error; return -1; }

static int dequeue(struct v4l2_buffer *b) {
    if (!d.streaming) return fail(EINVAL);
    for (;;) {
        int state = wait_frame(now_ns() + 50000000);
        if (state < 0) return fail(ENODEV);
        if (state) break;
        if (fcntl(d.fd, F_GETFL) & O_NONBLOCK) return fail(EAGAIN);
    }
    pthread_mutex_lock(&lock);
    long number = d.full_number[0];
    unsigned char *bytes;
    __u32 used = picture(number, &bytes);
    b->index = d.full[0];
    d.filled--;
    memmove(d.full, d.full + 1, sizeof(int) * d.filled);
    memmove(d.full_number, d.full_number + 1, sizeof(long) * d.filled);
    memcpy(d.memory + (size_t)b->index * MOST_BYTES, bytes, used);
    b->bytesused = happens(number, "short") ? used / 2 : used;
    b->flags = V4L2_BUF_FLAG_MAPPED | V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC |
               (happens(number, "error") ? V4L2_BUF_FLAG_ERROR : 0);
    b->timestamp.tv_sec = due_ns(number) / 1000000000;
    b->timestamp.tv_usec = due_ns(number) % 1000000000 / 1000;
    b->sequence = number;
    b->field = V4L2_FIELD_NONE;
    b->length = MOST_BYTES;
    pthread_mutex_unlock(&lock);
    return 0;
}

static void fill_format(struct v4l2_format *f, __u32 format) {
    struct v4l2_pix_format *p = &f->fmt.pix;
    size(&p->width, &p->height);
    p->pixelformat = format;
    p->field = V4L2_FIELD_NONE;
    p->bytesperline = format == V4L2_PIX_FMT_YUYV ? p->width * 2 : 0;
    p->sizeimage = format == V4L2_PIX_FMT_YUYV ? p->width * p->height * 2 : MOST_BYTES;
    p->colorspace = V4L2_COLORSPACE_SRGB;
}

static __u32 first_format(void) {
    return sends(V4L2_PIX_FMT_YUYV) ? V4L2_PIX_FMT_YUYV : V4L2_PIX_FMT_MJPEG;
}

static int answer(unsigned long request, void *argument) {
    struct v4l2_buffer *b = argument;
    struct v4l2_format *f = argument;
    if (d.dead) return fail(ENODEV);
    switch (request) {
    case VIDIOC_QUERYCAP: {
        struct v4l2_capability *c = argument;
        memset(c, 0, sizeof *c);
        strcpy((char *)c->driver, "fake");
        strcpy((char *)c->card, "Fake camera");
        c->capabilities = c->device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
        c->capabilities |= V4L2_CAP_DEVICE_CAPS;
        return 0;
    }
    case VIDIOC_G_INPUT: *(int *)argument = 0; return 0;
    case VIDIOC_S_INPUT: return 0;
    case VIDIOC_ENUMINPUT: {
        struct v4l2_input *i = argument;
        if (i->index) return fail(EINVAL);
        strcpy((char *)i->name, "Camera 1");
        i->type = V4L2_INPUT_TYPE_CAMERA;
        i->std = 0;
        return 0;
    }
    case VIDIOC_ENUM_FMT: {
        struct v4l2_fmtdesc *e = argument;
        static const __u32 all[] = {V4L2_PIX_FMT_YUYV, V4L2_PIX_FMT_MJPEG};
        unsigned seen = 0;
        for (int i = 0; i < 2; i++)
            if (sends(all[i]) && seen++ == e->index) { e->pixelformat = all[i]; return 0; }
        return fail(EINVAL);
    }
    case VIDIOC_G_FMT: fill_format(f, d.format ? d.format : first_format()); return 0;
    case VIDIOC_TRY_FMT:
    case VIDIOC_S_FMT: {
        if (happens(0, "busy")) return fail(EBUSY);
        if (!sends(first_format())) return fail(EINVAL);
        __u32 wanted = f->fmt.pix.pixelformat == V4L2_PIX_FMT_JPEG ? 0 : f->fmt.pix.pixelformat;
        __u32 given = wanted && sends(wanted) ? wanted : first_format();
        fill_format(f, given);
        if (request == VIDIOC_S_FMT) { d.format = given; load(given); }
        return 0;
    }
    case VIDIOC_G_PARM:
    case VIDIOC_S_PARM: {
        struct v4l2_streamparm *p = argument;
        p->parm.capture.capability = V4L2_CAP_TIMEPERFRAME;
        p->parm.capture.timeperframe.numerator = 1000;
        p->parm.capture.timeperframe.denominator = 1000 * atof(setting("FAKE_V4L2_FPS", "30"));
        return 0;
    }
    case VIDIOC_REQBUFS: {
        struct v4l2_requestbuffers *r = argument;
        if (r->count > MOST_BUFFERS) r->count = MOST_BUFFERS;
        d.buffers = r->count;
        if (d.memory) munmap(d.memory, (size_t)MOST_BUFFERS * MOST_BYTES);
        d.memory = NULL;
        if (!d.buffers) return 0;
        if (ftruncate(d.fd, (off_t)MOST_BUFFERS * MOST_BYTES)) return -1;
        d.memory = mmap(NULL, (size_t)MOST_BUFFERS * MOST_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, d.fd, 0);
        return d.memory == MAP_FAILED ? -1 : 0;
    }
    case VIDIOC_QUERYBUF:
        b->length = MOST_BYTES;
        b->m.offset = b->index * MOST_BYTES;
        b->flags = 0;
        return 0;
    case VIDIOC_QBUF:
        pthread_mutex_lock(&lock);
        advance();
        d.queue[d.queued++] = b->index;
        pthread_mutex_unlock(&lock);
        return 0;
    case VIDIOC_DQBUF: return dequeue(b);
    case VIDIOC_STREAMON:
        d.start_ns = now_ns();
        d.next = 0;
        d.streaming = 1;
        d.opened++;
        return 0;
    case VIDIOC_STREAMOFF: d.streaming = d.queued = d.filled = 0; return 0;
    case VIDIOC_QUERYCTRL:
    case VIDIOC_G_CTRL:
    case VIDIOC_S_CTRL:
    case VIDIOC_G_STD:
    case VIDIOC_ENUMSTD: return fail(EINVAL);
    }
    return fail(ENOTTY);
}

static int opened(int fd, const char *path) {
    char ours[4096], theirs[4096];
    const char *device = setting("FAKE_V4L2", "");
    if (fd < 0 || !*device || !realpath(path, theirs) || !realpath(device, ours) || strcmp(ours, theirs))
        return fd;
    d.fd = fd;
    d.dead = d.streaming = d.queued = d.filled = 0;
    return fd;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define OPEN(name)                                                   \
    int name(const char *path, int flags, ...) {                     \
        va_list rest;                                                \
        va_start(rest, flags);                                       \
        int fd = REAL(name)(path, flags, va_arg(rest, int));         \
        va_end(rest);                                                \
        return flags & O_ACCMODE ? opened(fd, path) : fd;            \
    }
OPEN(open)
OPEN(open64)

int close(int fd) {
    if (fd == d.fd) {
        d.closed_fd = fd;
        d.fd = -1;
        d.streaming = 0;
        if (d.memory) munmap(d.memory, (size_t)MOST_BUFFERS * MOST_BYTES);
        d.memory = NULL;
    }
    return REAL(close)(fd);
}

int ioctl(int fd, unsigned long request, ...) {
    va_list rest;
    va_start(rest, request);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    if (fd == d.closed_fd && fd != d.fd && (request & 0xff00) == 'V' << 8)
        fprintf(stderr, "the camera is used after it was closed\n");
    /* As the kernel does: only the low 32 bits count, and a program may extend the sign. */
    return fd == d.fd && fd >= 0 ? answer(request & 0xffffffffUL, argument) : REAL(ioctl)(fd, request, argument);
}

int poll(struct pollfd *fds, nfds_t count, int timeout_ms) {
    if (count != 1 || fds->fd != d.fd || d.fd < 0) return REAL(poll)(fds, count, timeout_ms);
    int state = wait_frame(timeout_ms < 0 ? (1LL << 62) : now_ns() + timeout_ms * 1000000LL);
    fds->revents = state < 0 ? POLLERR | POLLHUP : state ? POLLIN : 0;
    return state != 0;
}

int select(int count, fd_set *read_set, fd_set *w, fd_set *e, struct timeval *timeout) {
    if (d.fd < 0 || !read_set || count <= d.fd || !FD_ISSET(d.fd, read_set))
        return REAL(select)(count, read_set, w, e, timeout);
    long long until = timeout ? now_ns() + timeout->tv_sec * 1000000000LL + timeout->tv_usec * 1000LL : 1LL << 62;
    int state = wait_frame(until);
    if (!state) FD_ZERO(read_set);
    return state != 0;
}
