/* What programs do with ZooKeeper's C client, step by step. Each line printed is a step with what came of it; zxids,
 * times and session ids are left out, so that the output with one server equals that with another.
 * Usage: cclient host:port */

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zookeeper/zookeeper.h>

enum { WAIT_SECONDS = 60, TIMEOUT_MS = 30000 };

/* Events as they come; a step waits for the next one. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t came = PTHREAD_COND_INITIALIZER;
static struct { int type, state; char path[256]; } events[64];
static unsigned first, last;

static void on_event(zhandle_t *zh, int type, int state, const char *path, void *context) {
    (void)zh;
    (void)context;
    pthread_mutex_lock(&lock);
    events[last % 64].type = type;
    events[last % 64].state = state;
    snprintf(events[last % 64].path, sizeof events[0].path, "%s", path ? path : "");
    last++;
    pthread_cond_broadcast(&came);
    pthread_mutex_unlock(&lock);
}

static void next_event(const char *step) {
    struct timespec limit;
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += WAIT_SECONDS;
    pthread_mutex_lock(&lock);
    while (first == last) {
        if (pthread_cond_timedwait(&came, &lock, &limit) != 0) {
            printf("%s: no event within %d s\n", step, WAIT_SECONDS);
            exit(1);
        }
    }
    printf("%s: event type=%d state=%d path=%s\n", step, events[first % 64].type, events[first % 64].state,
           events[first % 64].path);
    first++;
    pthread_mutex_unlock(&lock);
}

static void said(const char *step, int rc) { printf("%s: %s\n", step, rc == ZOK ? "ok" : zerror(rc)); }

static void told(const char *step, int rc, const struct Stat *stat) {
    said(step, rc);
    if (rc == ZOK)
        printf("  version=%d cversion=%d aversion=%d ephemeral=%d length=%d children=%d\n", stat->version,
               stat->cversion, stat->aversion, stat->ephemeralOwner != 0, stat->dataLength, stat->numChildren);
}

static void create(zhandle_t *zh, const char *path, const char *data, int mode, int64_t ttl) {
    char made[256] = "";
    struct Stat stat;
    int length = data ? (int)strlen(data) : -1;
    int rc = zoo_create2_ttl(zh, path, data, length, &ZOO_OPEN_ACL_UNSAFE, mode, ttl, made, sizeof made, &stat);
    told(path, rc, &stat);
    if (rc == ZOK)
        printf("  made=%s\n", made);
}

static void get(zhandle_t *zh, const char *path, watcher_fn watcher) {
    char data[256];
    int length = sizeof data;
    struct Stat stat;
    int rc = zoo_wget(zh, path, watcher, NULL, data, &length, &stat);
    told(path, rc, &stat);
    if (rc == ZOK)
        printf("  data=%.*s (%d)\n", length > 0 ? length : 0, data, length);
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void list(zhandle_t *zh, const char *path, watcher_fn watcher) {
    struct String_vector names = {0, NULL};
    struct Stat stat;
    int rc = zoo_wget_children2(zh, path, watcher, NULL, &names, &stat);
    told(path, rc, &stat);
    qsort(names.data, names.count, sizeof *names.data, by_name);
    for (int i = 0; i < names.count; i++)
        printf("  child=%s\n", names.data[i]);
    deallocate_String_vector(&names);
}

static zhandle_t *connect_to(const char *host, const clientid_t *id) {
    zhandle_t *zh = zookeeper_init(host, on_event, TIMEOUT_MS, id, NULL, 0);
    if (!zh) {
        perror("zookeeper_init");
        exit(1);
    }
    next_event("session");
    return zh;
}

static void trees(zhandle_t *zh) {
    struct Stat stat;
    create(zh, "/c", "one", ZOO_PERSISTENT, -1);
    create(zh, "/c", "again", ZOO_PERSISTENT, -1);
    create(zh, "/c/null", NULL, ZOO_PERSISTENT, -1);
    create(zh, "/c/empty", "", ZOO_PERSISTENT, -1);
    create(zh, "/c/s-", "x", ZOO_PERSISTENT_SEQUENTIAL, -1);
    create(zh, "/c/e", "mine", ZOO_EPHEMERAL, -1);
    create(zh, "/c/e/child", "x", ZOO_PERSISTENT, -1);
    create(zh, "/c/es-", "mine", ZOO_EPHEMERAL_SEQUENTIAL, -1);
    create(zh, "/container", "x", ZOO_CONTAINER, -1);
    create(zh, "/ttl", "x", ZOO_PERSISTENT_WITH_TTL, 600000);
    create(zh, "/ttl-", "x", ZOO_PERSISTENT_SEQUENTIAL_WITH_TTL, 600000);
    get(zh, "/c/null", NULL);
    get(zh, "/c/empty", NULL);
    get(zh, "/c/none", NULL);
    told("exists", zoo_exists(zh, "/c/e", 0, &stat), &stat);
    said("exists none", zoo_exists(zh, "/c/none", 0, &stat));
    told("set", zoo_set2(zh, "/c", "two", 3, 0, &stat), &stat);
    said("set wrong version", zoo_set(zh, "/c", "x", 1, 0));
    said("delete not empty", zoo_delete(zh, "/c", -1));
    said("delete wrong version", zoo_delete(zh, "/c/null", 3));
    said("delete", zoo_delete(zh, "/c/null", 0));
    list(zh, "/c", NULL);
    list(zh, "/none", NULL);
}

static void watches(zhandle_t *zh) {
    struct Stat stat;
    get(zh, "/c/empty", on_event);
    list(zh, "/c", on_event);
    said("watch none", zoo_wexists(zh, "/c/new", on_event, NULL, &stat));
    said("set", zoo_set(zh, "/c/empty", "full", 4, -1));
    next_event("data");
    create(zh, "/c/new", "x", ZOO_PERSISTENT, -1);
    next_event("created or children");
    next_event("created or children");
    get(zh, "/c/new", on_event);
    said("delete", zoo_delete(zh, "/c/new", -1));
    next_event("deleted");
    get(zh, "/c/empty", on_event);
    said("remove watches", zoo_remove_watches(zh, "/c/empty", ZWATCHTYPE_DATA, on_event, NULL, 0));
    said("remove watches again", zoo_remove_watches(zh, "/c/empty", ZWATCHTYPE_DATA, on_event, NULL, 0));
}

static void multi(zhandle_t *zh) {
    char made[2][64];
    struct Stat stat;
    zoo_op_t ops[5];
    zoo_op_result_t results[5];
    zoo_create_op_init(&ops[0], "/m", "x", 1, &ZOO_OPEN_ACL_UNSAFE, 0, made[0], sizeof made[0]);
    zoo_create_op_init(&ops[1], "/m/s-", "x", 1, &ZOO_OPEN_ACL_UNSAFE, ZOO_SEQUENCE, made[1], sizeof made[1]);
    zoo_check_op_init(&ops[2], "/m", 0);
    zoo_set_op_init(&ops[3], "/m", "y", 1, 0, &stat);
    zoo_delete_op_init(&ops[4], "/c/empty", -1);
    said("multi", zoo_multi(zh, 5, ops, results));
    for (int i = 0; i < 5; i++)
        printf("  op %d: %s\n", i, results[i].err == ZOK ? "ok" : zerror(results[i].err));
    printf("  made=%s %s version=%d\n", made[0], made[1], stat.version);
    zoo_set_op_init(&ops[0], "/m", "z", 1, -1, &stat);
    zoo_check_op_init(&ops[1], "/m", 7);
    said("multi that fails", zoo_multi(zh, 3, ops, results));
    for (int i = 0; i < 3; i++)
        printf("  op %d: %s\n", i, results[i].err == ZOK ? "ok" : zerror(results[i].err));
    get(zh, "/m", NULL);
}

static void on_done(int rc, const void *data) {
    (void)data;
    on_event(NULL, 0, rc, "done", NULL);
}

static void access_lists(zhandle_t *zh, const char *host) {
    struct ACL_vector acl;
    struct Stat stat;
    char made[64];
    said("creator without an id", zoo_create(zh, "/mine", "x", 1, &ZOO_CREATOR_ALL_ACL, 0, made, sizeof made));
    said("auth", zoo_add_auth(zh, "digest", "bob:secret", 10, on_done, NULL));
    next_event("auth");
    said("creator with an id", zoo_create(zh, "/mine", "x", 1, &ZOO_CREATOR_ALL_ACL, 0, made, sizeof made));
    int rc = zoo_get_acl(zh, "/mine", &acl, &stat);
    told("acl", rc, &stat);
    for (int i = 0; i < acl.count; i++)
        printf("  %d %s %s\n", acl.data[i].perms, acl.data[i].id.scheme, acl.data[i].id.id);
    deallocate_ACL_vector(&acl);
    zhandle_t *other = connect_to(host, NULL);
    get(other, "/mine", NULL);
    said("set acl of others", zoo_set_acl(other, "/mine", -1, &ZOO_OPEN_ACL_UNSAFE));
    said("close", zookeeper_close(other));
    said("set acl wrong version", zoo_set_acl(zh, "/mine", 4, &ZOO_READ_ACL_UNSAFE));
    said("set acl", zoo_set_acl(zh, "/mine", 0, &ZOO_READ_ACL_UNSAFE));
    said("set what may be read", zoo_set(zh, "/mine", "y", 1, -1));
}

/* Holds a session, says which, and ends without closing it. */
static int hold(const char *host) {
    zhandle_t *zh = zookeeper_init(host, on_event, TIMEOUT_MS, NULL, NULL, 0);
    char made[64];
    if (!zh || zoo_create(zh, "/held", "x", 1, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL, made, sizeof made) != ZOK)
        return 1;
    fwrite(zoo_client_id(zh), sizeof(clientid_t), 1, stdout);
    fflush(stdout);
    _exit(0);
}

/* Another process takes the session over, and its ephemerals stay. */
static void sessions(const char *self, const char *host) {
    char command[512];
    clientid_t id;
    snprintf(command, sizeof command, "%s %s hold", self, host);
    FILE *holder = popen(command, "r");
    if (!holder || fread(&id, sizeof id, 1, holder) != 1 || pclose(holder) != 0) {
        printf("no session is held\n");
        exit(1);
    }
    clientid_t wrong = id;
    wrong.passwd[0] ^= 1;
    zhandle_t *zh = connect_to(host, &wrong);
    said("a wrong password", zoo_set(zh, "/c", "x", 1, -1));
    zookeeper_close(zh);
    zh = connect_to(host, &id);
    printf("same session: %d\n", zoo_client_id(zh)->client_id == id.client_id);
    get(zh, "/held", NULL);
    said("close", zookeeper_close(zh));
    zh = connect_to(host, &id);
    said("a closed session", zoo_set(zh, "/c", "x", 1, -1));
    zookeeper_close(zh);
    zh = connect_to(host, NULL);
    get(zh, "/held", NULL);
    list(zh, "/c", NULL);
    said("close", zookeeper_close(zh));
}

int main(int count, char **words) {
    if (count == 3 && strcmp(words[2], "hold") == 0)
        return hold(words[1]);
    if (count != 2) {
        fprintf(stderr, "usage: cclient host:port\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    zoo_set_debug_level(ZOO_LOG_LEVEL_ERROR);
    zhandle_t *zh = connect_to(words[1], NULL);
    trees(zh);
    watches(zh);
    multi(zh);
    access_lists(zh, words[1]);
    said("close", zookeeper_close(zh));
    sessions(words[0], words[1]);
    return 0;
}
