/* Prints for each instruction, given as hex digits, whether the plugin instruments it in Linux' kernel. */
#include "../../../native/ptmon-plugin.c"

struct qemu_plugin_insn {
    uint8_t bytes[15];
    size_t length;
};

size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn)
{
    return insn->length;
}

__attribute__((used)) static const void *data_of(const struct qemu_plugin_insn *insn)
{
    return insn->bytes;
}

void qemu_plugin_insn_data(void) __attribute__((alias("data_of")));

int main(int argc, char **argv)
{
    for (int n = 1; n < argc; n++) {
        struct qemu_plugin_insn insn = {.length = strlen(argv[n]) / 2};
        for (size_t at = 0; at < insn.length; at++) sscanf(argv[n] + 2 * at, "%2hhx", &insn.bytes[at]);
        puts(is_instrumented(&insn, true) ? "yes" : "no");
    }
}
