/* Faults of the system: each lasts as long as there is a file of its name in the folder that
 * the variable FAULTS names. A file NAME.met beside it says that it was met. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int is_on(const char *fault) {
    const char *folder = getenv("FAULTS");
    char path[PATH_MAX];
    int error = errno;
    snprintf(path, sizeof path, "%s/%s", folder ? folder : "/nonexistent", fault);
    int found = access(path, F_OK) == 0;
    if (found) {
        snprintf(path, sizeof path, "%s/%s.met", folder, fault);
        close(open(path, O_CREAT | O_WRONLY, 0600));
    }
    errno = error;
    return found;
}

static int fails(int error) {
    errno = error;
    return -1;
}

/* What was written is not on the disk. */
int fdatasync(int file) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    return is_on("sync") ? fails(EIO) : real(file);
}

int fsync(int file) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    return is_on("sync") ? fails(EIO) : real(file);
}

/* A file takes half of what it is given. */
ssize_t write(int file, const void *bytes, size_t length) {
    ssize_t (*real)(int, const void *, size_t) =
        (ssize_t(*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    struct stat status;
    if (length > 1 && fstat(file, &status) == 0 && S_ISREG(status.st_mode) &&
        is_on("short-writes"))
        length /= 2;
    return real(file, bytes, length);
}

/* The system has no memory for another connection. */
int accept4(int socket, struct sockaddr *address, socklen_t *length, int flags) {
    int (*real)(int, struct sockaddr *, socklen_t *, int) =
        (int (*)(int, struct sockaddr *, socklen_t *, int))dlsym(RTLD_NEXT, "accept4");
    return is_on("accept") ? fails(ENOMEM) : real(socket, address, length, flags);
}

/* No name server replies. */
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **found) {
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
        (int (*)(const char *, const char *, const struct addrinfo *,
                 struct addrinfo **))dlsym(RTLD_NEXT, "getaddrinfo");
    while (is_on("names"))
        usleep(10000);
    return real(name, service, hints, found);
}

/* The wall clock cannot be read, once: Rust's standard library panics in whoever wants to know. */
int clock_gettime(clockid_t clock, struct timespec *now) {
    int (*real)(clockid_t, struct timespec *) =
        (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    static int is_over;
    if (clock == CLOCK_REALTIME && !is_over && is_on("wall-clock")) {
        is_over = 1;
        return fails(EINVAL);
    }
    return real(clock, now);
}
