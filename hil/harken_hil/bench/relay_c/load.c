/* The load of `harken bench relay`: N devices that each send a frame every so often.
 *
 * load PORT STREAMS FRAME_MS SECONDS BYTES
 *
 * Connects, says hello, waits for an answer, then sends masked binary frames of BYTES, the
 * devices evenly staggered, and times how long each takes to come back: the frame carries when it
 * was due, so a load that falls behind counts as lateness of its own (`behind_us`). Prints JSON.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { SPACE = 8192, MOST_BYTES = 120, AT_ONCE = 50 };

struct device {
    int fd, ready, http;
    size_t held;
    uint8_t data[SPACE];
};

static struct device *devices;
static uint32_t *samples;
static size_t sampled, most_samples, sent, ready;
static const char HELLO[] =
    "{\"type\":\"hello\",\"version\":1,\"transport\":\"websocket\",\"audio_params\":"
    "{\"format\":\"opus\",\"sample_rate\":16000,\"channels\":1,\"frame_duration\":20}}";

static uint64_t now_ns(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

static void die(const char *why)
{
    fprintf(stderr, "%s\n", why);
    exit(1);
}

static void send_frame(struct device *device, int opcode, const void *payload, size_t size)
{
    /* Masked by zeros: a legal key, and the receiver has to unmask all the same. */
    uint8_t frame[1024];
    size_t head = size < 126 ? 6 : 8;
    frame[0] = (uint8_t)(0x80 | opcode);
    if (size < 126) {
        frame[1] = (uint8_t)(0x80 | size);
    } else {
        frame[1] = 0x80 | 126;
        frame[2] = (uint8_t)(size >> 8);
        frame[3] = (uint8_t)size;
    }
    memset(frame + head - 4, 0, 4);
    memcpy(frame + head, payload, size);
    if (send(device->fd, frame, head + size, MSG_NOSIGNAL) != (ssize_t)(head + size))
        die("a device could not send");
}

static void on_frame(struct device *device, int opcode, const uint8_t *payload, size_t size)
{
    if (opcode == 1 && !device->ready) {
        device->ready = 1;
        ready++;
    } else if (opcode == 2 && size >= 16) {
        uint64_t due;
        memcpy(&due, payload + 1, 8);
        if (sampled < most_samples)
            samples[sampled++] = (uint32_t)((now_ns() - due) / 1000);
    } else if (opcode == 9) {
        send_frame(device, 10, payload, size);
    } else if (opcode == 8) {
        die("a device was sent away");
    }
}

static void receive(struct device *device)
{
    ssize_t got = recv(device->fd, device->data + device->held, SPACE - 1 - device->held, 0);
    if (got <= 0)
        die("a device was cut off");
    device->held += (size_t)got;
    size_t done = 0;
    if (device->http) {
        device->data[device->held] = 0;
        char *end = strstr((char *)device->data, "\r\n\r\n");
        if (!end)
            return;
        if (memcmp(device->data, "HTTP/1.1 101", 12))
            die("a device was not let in");
        device->http = 0;
        done = (size_t)(end + 4 - (char *)device->data);
        send_frame(device, 1, HELLO, sizeof HELLO - 1);
    }
    while (device->held - done >= 2) {
        const uint8_t *frame = device->data + done;
        size_t size = frame[1] & 127, head = 2;
        if (size == 126) {
            if (device->held - done < 4)
                break;
            size = (size_t)frame[2] << 8 | frame[3];
            head = 4;
        }
        if (size > SPACE - 16)
            die("a frame too long");
        if (device->held - done < head + size)
            break;
        on_frame(device, frame[0] & 15, frame + head, size);
        done += head + size;
    }
    memmove(device->data, device->data + done, device->held - done);
    device->held -= done;
}

static void wait_events(int poll, int timeout_ms)
{
    struct epoll_event events[256];
    int count = epoll_wait(poll, events, 256, timeout_ms);
    for (int i = 0; i < count; i++)
        receive(&devices[events[i].data.u32]);
}

static int by_value(const void *one, const void *other)
{
    uint32_t a = *(const uint32_t *)one, b = *(const uint32_t *)other;
    return (a > b) - (a < b);
}

static void greet(int poll, size_t wanted)
{
    uint64_t deadline = now_ns() + 10000000000u;
    while (ready < wanted) {
        if (now_ns() > deadline)
            die("not every device was greeted within 10 s");
        wait_events(poll, 100);
    }
}

static void connect_all(int poll, size_t streams, int port)
{
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (size_t i = 0; i < streams; i++) {
        struct device *device = &devices[i];
        int on = 1;
        device->fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(device->fd, (struct sockaddr *)&where, sizeof where))
            die("cannot connect");
        setsockopt(device->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        device->http = 1;
        char request[512];
        int size = snprintf(request, sizeof request,
                            "GET /xiaozhi/v1/ HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                            "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                            "Sec-WebSocket-Version: 13\r\nDevice-Id: load-%zu\r\n"
                            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
                            i);
        if (send(device->fd, request, (size_t)size, MSG_NOSIGNAL) != size)
            die("cannot ask for an upgrade");
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
        epoll_ctl(poll, EPOLL_CTL_ADD, device->fd, &event);
        /* More at once than a server's backlog holds would have to try again a second later. */
        if ((i + 1) % AT_ONCE == 0)
            greet(poll, i + 1);
    }
    greet(poll, streams);
}

int main(int argc, char **argv)
{
    if (argc != 6)
        die("load PORT STREAMS FRAME_MS SECONDS BYTES");
    size_t streams = (size_t)atol(argv[2]), bytes = (size_t)atol(argv[5]);
    uint64_t frame_ns = (uint64_t)(atof(argv[3]) * 1e6);
    double seconds = atof(argv[4]);
    if (!streams || bytes < 16 || bytes > MOST_BYTES)
        die("at least one stream, and frames of 16 to 120 bytes");
    devices = calloc(streams, sizeof *devices);
    most_samples = (size_t)((double)streams * (seconds + 1) * 1e9 / (double)frame_ns) + streams;
    samples = malloc(most_samples * sizeof *samples);
    int poll = epoll_create1(0);
    connect_all(poll, streams, atoi(argv[1]));
    printf("greeted\n");
    fflush(stdout);
    /* The parent reads the server's clock, then says go. */
    if (getchar() == EOF)
        return 1;

    uint8_t payload[MOST_BYTES];
    memset(payload, 0x5a, sizeof payload);
    payload[0] = 0x48; /* Opus: hybrid-free wide band, 20 ms, mono */
    uint64_t gap = frame_ns / streams, begun = now_ns(), due = begun, behind = 0;
    uint64_t until = begun + (uint64_t)(seconds * 1e9);
    size_t next = 0;
    while (due < until) {
        uint64_t now = now_ns();
        while (due <= now && due < until) {
            behind = now - due > behind ? now - due : behind;
            memcpy(payload + 1, &due, 8);
            send_frame(&devices[next], 2, payload, bytes);
            sent++;
            next = (next + 1) % streams;
            due = begun + sent * gap;
        }
        now = now_ns();
        /* Whole milliseconds are too coarse for epoll to wait, and spinning spares no latency. */
        wait_events(poll, 0);
        if (due > now + 20000) {
            struct timespec nap = {0, (long)((due - now) > 500000 ? 500000 : due - now)};
            nanosleep(&nap, NULL);
        }
    }
    uint64_t last = now_ns() + 500000000u;
    while (sampled < sent && now_ns() < last)
        wait_events(poll, 10);
    double took = (double)(now_ns() - begun) / 1e9;
    qsort(samples, sampled, sizeof *samples, by_value);
    printf("{\"sent\":%zu,\"received\":%zu,\"p50_us\":%u,\"p99_us\":%u,\"max_us\":%u,"
           "\"behind_us\":%llu,\"took_s\":%.3f}\n",
           sent, sampled, sampled ? samples[sampled / 2] : 0,
           sampled ? samples[sampled * 99 / 100] : 0, sampled ? samples[sampled - 1] : 0,
           (unsigned long long)behind / 1000, took);
    return 0;
}
