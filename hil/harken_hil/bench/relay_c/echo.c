#define _GNU_SOURCE
/* The floor of `harken bench relay`: a WebSocket echo that handles one message a wake-up.
 *
 * One thread, epoll, one recv and one send per message, frames in place. It answers the upgrade
 * and any text by fixed words, so that the same load can be put on it as on a gateway.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SPACE = 4096, MOST = 65536 };

struct peer {
    int fd, upgraded;
    size_t held;
    uint8_t data[SPACE];
};

static struct peer *peers[MOST];

static void put(int fd, const void *data, size_t size)
{
    /* An echo of 60 bytes that does not fit a socket's buffer has no reader: give it up. */
    if (send(fd, data, size, MSG_NOSIGNAL) != (ssize_t)size)
        shutdown(fd, SHUT_RDWR);
}

static int upgrade(struct peer *peer)
{
    peer->data[peer->held] = 0;
    char *end = strstr((char *)peer->data, "\r\n\r\n");
    if (!end)
        return 0;
    /* The load does not look at the accept key, so none is worked out. */
    static const char answer[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                                 "Connection: Upgrade\r\nSec-WebSocket-Accept: -\r\n\r\n";
    put(peer->fd, answer, sizeof answer - 1);
    size_t used = (size_t)(end + 4 - (char *)peer->data);
    memmove(peer->data, peer->data + used, peer->held - used);
    peer->held -= used;
    peer->upgraded = 1;
    return 1;
}

/* Returns the bytes of the frame that was answered, 0 for none yet, -1 for an end. */
static long answer_frame(struct peer *peer, uint8_t *frame, size_t held)
{
    if (held < 6)
        return 0;
    int opcode = frame[0] & 15;
    size_t size = frame[1] & 127, head = 6;
    uint8_t *mask = frame + 2;
    if (size == 126) {
        if (held < 8)
            return 0;
        size = (size_t)frame[2] << 8 | frame[3];
        mask = frame + 4;
        head = 8;
    }
    if (size > SPACE - 16 || opcode == 8)
        return -1;
    if (held < head + size)
        return 0;
    uint8_t *payload = frame + head;
    uint32_t key;
    memcpy(&key, mask, 4);
    size_t at = 0;
    for (; at + 4 <= size; at += 4) {
        uint32_t word;
        memcpy(&word, payload + at, 4);
        word ^= key;
        memcpy(payload + at, &word, 4);
    }
    for (; at < size; at++)
        payload[at] ^= mask[at & 3];
    if (opcode == 2 && size < 126) {
        uint8_t *out = payload - 2;
        out[0] = 0x82;
        out[1] = (uint8_t)size;
        put(peer->fd, out, size + 2);
    } else if (opcode == 1) {
        put(peer->fd, "\x81\x02{}", 4);
    }
    return (long)(head + size);
}

static int readable(struct peer *peer)
{
    ssize_t got = recv(peer->fd, peer->data + peer->held, SPACE - 1 - peer->held, 0);
    if (got <= 0)
        return got < 0 && errno == EAGAIN ? 0 : -1;
    peer->held += (size_t)got;
    if (!peer->upgraded && upgrade(peer) <= 0)
        return peer->held >= SPACE - 1 ? -1 : 0;
    size_t done = 0;
    for (;;) {
        long used = answer_frame(peer, peer->data + done, peer->held - done);
        if (used < 0)
            return -1;
        if (used == 0)
            break;
        done += (size_t)used;
    }
    memmove(peer->data, peer->data + done, peer->held - done);
    peer->held -= done;
    return 0;
}

int main(void)
{
    int door = socket(AF_INET, SOCK_STREAM, 0), poll = epoll_create1(0), on = 1;
    struct sockaddr_in where = {.sin_family = AF_INET};
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof where;
    if (bind(door, (struct sockaddr *)&where, size) || listen(door, 1024))
        return 1;
    getsockname(door, (struct sockaddr *)&where, &size);
    printf("%d\n", ntohs(where.sin_port));
    fflush(stdout);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = door}, ready[64];
    epoll_ctl(poll, EPOLL_CTL_ADD, door, &event);
    for (;;) {
        int count = epoll_wait(poll, ready, 64, -1);
        for (int i = 0; i < count; i++) {
            int fd = ready[i].data.fd;
            if (fd == door) {
                fd = accept4(door, NULL, NULL, SOCK_NONBLOCK);
                if (fd < 0 || fd >= MOST)
                    continue;
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                peers[fd] = calloc(1, sizeof **peers);
                peers[fd]->fd = fd;
                event.data.fd = fd;
                epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
            } else if (readable(peers[fd]) < 0) {
                free(peers[fd]);
                peers[fd] = NULL;
                close(fd);
            }
        }
    }
}
