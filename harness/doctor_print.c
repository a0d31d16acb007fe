/* doctor_print.c - the doctor's findings as text of 80 columns. */
#include "doctor.h"

#include <stdio.h>
#include <string.h>

#define WIDTH 80
#define FIELD 11 /* columns before the text of a field */

/* Words in lines of at most WIDTH columns, beside `label` and from column `indent` on. A command
 * that needs several lines stays one for the shell: each but the last ends in a backslash. */
static void print_words(FILE *out, int indent, const char *label, const char *text, int size,
                        bool command)
{
    int column = fprintf(out, "%-*s", indent, label);
    bool first = true;
    const char *end = text + size;

    while (text < end) {
        int length = (int)strcspn(text, " ");
        int room = command ? WIDTH - 2 : WIDTH;

        if (length > end - text)
            length = (int)(end - text);
        if (!first && column + 1 + length > room) {
            fprintf(out, "%s\n%*s", command ? " \\" : "", indent, "");
            column = indent;
            first = true;
        }
        column += fprintf(out, "%s%.*s", first ? "" : " ", length, text);
        first = false;
        text += length;
        text += text < end;
    }
    fputc('\n', out);
}

static void print_commands(FILE *out, const char *label, const char *lines)
{
    while (*lines) {
        int size = (int)strcspn(lines, "\n");

        print_words(out, FIELD, label, lines, size, true);
        lines += size;
        lines += *lines == '\n';
        label = "";
    }
}

static void print_field(FILE *out, const char *label, const char *text)
{
    if (*text)
        print_words(out, FIELD, label, text, (int)strlen(text), false);
}

static void print(FILE *out, const struct doctor_finding *f)
{
    char head[32];

    if (f->state == DOCTOR_GOOD) {
        snprintf(head, sizeof(head), "good  %s ", f->name);
        print_words(out, 25, head, f->text, (int)strlen(f->text), false);
        return;
    }
    fprintf(out, "%s  %s\n", doctor_state_name(f->state), f->name);
    print_field(out, f->state == DOCTOR_WARN ? "  found" : "  reason", f->text);
    print_field(out, "  costs", f->cost);
    print_field(out, "  mend", f->remedy);
    print_commands(out, f->remedy[0] ? "" : "  mend", f->command);
    print_commands(out, "  undo", f->undo);
    fputc('\n', out);
}

void doctor_print(FILE *out, const struct doctor_finding *findings, int n)
{
    int count[3] = {0, 0, 0};

    for (int i = 0; i < n; i++) {
        print(out, &findings[i]);
        count[findings[i].state]++;
    }
    fprintf(out, "\n%d of %d spoil numbers; %d unknown\n", count[DOCTOR_WARN], n,
            count[DOCTOR_UNKNOWN]);
}
