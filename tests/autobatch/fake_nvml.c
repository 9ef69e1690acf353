/* A libnvidia-ml.so.1 with two cards that are not there, driven by environment variables.

   FAKE_NVML_FAIL   "function:code[:n]": that function fails from its n-th call on (default the first)
   FAKE_NVML_ZERO   memory is reported as zeros, as cards do that share the host's memory
   FAKE_NVML_MIG    the second card is divided; slices at places 0 and 2
   FAKE_NVML_ALIKE  both cards are of the same generation and name
   -DV1_ONLY        a driver without the second version of the memory call
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SUCCESS 0
#define UNINITIALIZED 1
#define INVALID_ARGUMENT 2
#define NOT_SUPPORTED 3
#define NOT_FOUND 6
#define MIB (1024ULL * 1024ULL)

typedef struct {
    int card, slice;
} device;
typedef struct {
    unsigned long long total, free, used;
} memory_v1;
typedef struct {
    unsigned int version;
    unsigned long long total, reserved, free, used;
} memory_v2;

static device cards[2] = {{0, -1}, {1, -1}};
static device slices[3] = {{1, 0}, {1, 1}, {1, 2}};
static int openings = 0;
static pid_t owner = 0; /* an opening does not survive a fork */

static int failure(const char *function) {
    static struct {
        char name[64];
        int calls;
    } counted[32];
    static char last_wanted[128];
    const char *wanted = getenv("FAKE_NVML_FAIL");
    size_t length = strlen(function);
    int code = 0, from = 1, i = 0;
    if (strncmp(last_wanted, wanted ? wanted : "", 127)) { /* another case: count anew */
        memset(counted, 0, sizeof counted);
        strncpy(last_wanted, wanted ? wanted : "", 127);
    }
    while (i < 31 && counted[i].calls && strcmp(counted[i].name, function)) i++;
    strncpy(counted[i].name, function, 63);
    counted[i].calls++;
    if (!wanted || strncmp(wanted, function, length) || wanted[length] != ':') return SUCCESS;
    sscanf(wanted + length, ":%d:%d", &code, &from);
    return counted[i].calls >= from ? code : SUCCESS;
}

#define ENTER(name)                          \
    do {                                     \
        int code = failure(name);            \
        if (code) return code;               \
        if (openings < 1 || owner != getpid()) return UNINITIALIZED; \
    } while (0)

int nvmlInitWithFlags(unsigned int flags) {
    int code = failure("nvmlInitWithFlags");
    (void)flags;
    if (!code) {
        openings = owner == getpid() ? openings + 1 : 1;
        owner = getpid();
    }
    return code;
}

int nvmlShutdown(void) {
    ENTER("nvmlShutdown");
    openings--;
    return SUCCESS;
}

int fake_openings(void) { return openings; }

const char *nvmlErrorString(int code) {
    static char text[64];
    snprintf(text, sizeof text, "fake error %d", code);
    return text;
}

int nvmlDeviceGetCount_v2(unsigned int *count) {
    ENTER("nvmlDeviceGetCount_v2");
    *count = 2;
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, device **handle) {
    ENTER("nvmlDeviceGetHandleByIndex_v2");
    if (index > 1) return INVALID_ARGUMENT;
    *handle = &cards[index];
    return SUCCESS;
}

int nvmlDeviceGetUUID(device *handle, char *uuid, unsigned int length) {
    ENTER("nvmlDeviceGetUUID");
    if (handle->slice < 0)
        snprintf(uuid, length, handle->card ? "GPU-beef0001-22" : "GPU-cafe0000-11");
    else
        snprintf(uuid, length, "MIG-0%d55-aaaa", handle->slice);
    return SUCCESS;
}

int nvmlDeviceGetName(device *handle, char *name, unsigned int length) {
    ENTER("nvmlDeviceGetName");
    snprintf(name, length, handle->card || getenv("FAKE_NVML_ALIKE") ? "Fake H100" : "Fake T4");
    return SUCCESS;
}

int nvmlDeviceGetCudaComputeCapability(device *handle, int *major, int *minor) {
    ENTER("nvmlDeviceGetCudaComputeCapability");
    *major = handle->card || getenv("FAKE_NVML_ALIKE") ? 9 : 7;
    *minor = handle->card ? 0 : 5;
    return SUCCESS;
}

static void fill(device *handle, unsigned long long *total, unsigned long long *free_bytes) {
    unsigned long long size = handle->slice >= 0 ? 20000 : handle->card ? 80000 : 16000;
    if (getenv("FAKE_NVML_ZERO")) size = 0;
    *total = size * MIB;
    *free_bytes = size * MIB / 4 * 3;
}

int nvmlDeviceGetMemoryInfo(device *handle, memory_v1 *memory) {
    ENTER("nvmlDeviceGetMemoryInfo");
    fill(handle, &memory->total, &memory->free);
    memory->used = memory->total - memory->free;
    return SUCCESS;
}

#ifndef V1_ONLY
int nvmlDeviceGetMemoryInfo_v2(device *handle, memory_v2 *memory) {
    ENTER("nvmlDeviceGetMemoryInfo_v2");
    if (memory->version != (0x02000000 | sizeof(memory_v2))) return 25;
    fill(handle, &memory->total, &memory->free);
    memory->reserved = memory->total / 50;
    memory->used = memory->total - memory->free - memory->reserved;
    return SUCCESS;
}
#endif

int nvmlDeviceGetMigMode(device *handle, unsigned int *current, unsigned int *pending) {
    ENTER("nvmlDeviceGetMigMode");
    if (handle->card == 0) return NOT_SUPPORTED;
    *current = *pending = getenv("FAKE_NVML_MIG") != NULL;
    return SUCCESS;
}

int nvmlDeviceGetMaxMigDeviceCount(device *handle, unsigned int *count) {
    ENTER("nvmlDeviceGetMaxMigDeviceCount");
    *count = handle->card ? 3 : 0;
    return SUCCESS;
}

int nvmlDeviceGetMigDeviceHandleByIndex(device *handle, unsigned int place, device **slice) {
    ENTER("nvmlDeviceGetMigDeviceHandleByIndex");
    if (!handle->card || place == 1 || place > 2) return NOT_FOUND;
    *slice = &slices[place];
    return SUCCESS;
}

int nvmlDeviceGetGpuInstanceId(device *handle, unsigned int *id) {
    ENTER("nvmlDeviceGetGpuInstanceId");
    *id = handle->slice + 5;
    return SUCCESS;
}

int nvmlDeviceGetComputeInstanceId(device *handle, unsigned int *id) {
    ENTER("nvmlDeviceGetComputeInstanceId");
    *id = 0;
    return SUCCESS;
}
