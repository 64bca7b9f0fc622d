/* Preloaded into a process: appends each name that it looks up and each address that it reaches
   out to, one a line, to the file that NETWORK_CALLS names; all calls go on as they were. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static void note(const char *what, const char *where) {
    int saved = errno;
    char line[512];
    const char *path = getenv("NETWORK_CALLS");
    int length = snprintf(line, sizeof line, "%s %s %s\n", what, where, program_invocation_short_name);
    int file = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    if (file >= 0) {
        if (length > (int)sizeof line - 1) length = sizeof line - 1;
        if (write(file, line, length) < 0) abort();
        close(file);
    }
    errno = saved;
}

static void note_address(const char *what, const struct sockaddr *address) {
    char text[INET6_ADDRSTRLEN];
    const void *bytes;
    if (address && address->sa_family == AF_INET)
        bytes = &((const struct sockaddr_in *)address)->sin_addr;
    else if (address && address->sa_family == AF_INET6)
        bytes = &((const struct sockaddr_in6 *)address)->sin6_addr;
    else
        return; /* Local sockets, netlink, and the end of an association. */
    note(what, inet_ntop(address->sa_family, bytes, text, sizeof text));
}

static int is_datagram(int socket) {
    int type = 0;
    socklen_t size = sizeof type;
    int saved = errno;
    int failed = getsockopt(socket, SOL_SOCKET, SO_TYPE, &type, &size);
    errno = saved;
    return !failed && type == SOCK_DGRAM;
}

static void note_datagram(int socket, const struct sockaddr *address) {
    struct sockaddr_storage peer;
    socklen_t size = sizeof peer;
    int saved = errno;
    if (!is_datagram(socket)) return;
    if (!address && !getpeername(socket, (struct sockaddr *)&peer, &size))
        address = (struct sockaddr *)&peer;
    errno = saved;
    note_address("send", address);
}

int connect(int socket, const struct sockaddr *address, socklen_t size) {
    /* Of a datagram's socket this sends nothing: programs learn their own address by it. */
    if (!is_datagram(socket)) note_address("connect", address);
    return REAL(connect)(socket, address, size);
}

ssize_t send(int socket, const void *data, size_t size, int flags) {
    note_datagram(socket, NULL);
    return REAL(send)(socket, data, size, flags);
}

ssize_t sendto(int socket, const void *data, size_t size, int flags, const struct sockaddr *address,
               socklen_t length) {
    note_datagram(socket, address);
    return REAL(sendto)(socket, data, size, flags, address, length);
}

ssize_t sendmsg(int socket, const struct msghdr *message, int flags) {
    note_datagram(socket, message->msg_name);
    return REAL(sendmsg)(socket, message, flags);
}

int sendmmsg(int socket, struct mmsghdr *messages, unsigned count, int flags) {
    if (count) note_datagram(socket, messages[0].msg_hdr.msg_name);
    return REAL(sendmmsg)(socket, messages, count, flags);
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **result) {
    if (name) note("lookup", name);
    return REAL(getaddrinfo)(name, service, hints, result);
}

struct hostent *gethostbyname(const char *name) {
    note("lookup", name);
    return REAL(gethostbyname)(name);
}

int gethostbyname_r(const char *name, struct hostent *found, char *buffer, size_t size,
                    struct hostent **result, int *error) {
    note("lookup", name);
    return REAL(gethostbyname_r)(name, found, buffer, size, result, error);
}
