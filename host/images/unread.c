/* unread.c - what is told of pictures that our readers do not know. */
#include "host/images/unread.h"

#include <string.h>

#include "host/tell/notify.h"

void unread_count(Unread *u, const Loaded *loaded, const char *path) {
    enum { MOST = sizeof u->item / sizeof *u->item };
    if (loaded->decoded) u->decoded++;
    if (loaded->decoded || !loaded->unread) return;
    int i = 0;
    while (i < u->kinds && strcmp(u->item[i].kind, loaded->unread) != 0) i++;
    if (i == MOST) i--;
    UnreadKind *k = &u->item[i];
    if (i == u->kinds) {
        u->kinds++;
        *k = (UnreadKind){.kind = loaded->unread};
        snprintf(k->first, sizeof k->first, "%s", path);
    }
    k->count++;
}

/* Writes the command. A folder can be converted whole where the names of its files tell the kind;
 * else every file that is a picture would be. */
static void how_to_convert(char *text, size_t bytes, const UnreadKind *k, const char *folder) {
    const PictureKind *kind = picture_kind_of_name(k->first);
    if (kind && strcmp(kind->name, k->kind) == 0)
        picture_kind_command(text, bytes, kind, folder, k->first);
    else snprintf(text, bytes, "mogrify -format png FILE (for each: the names do not tell them)");
}

void unread_tell(const Unread *u, const Decoder *decoder, const char *folder,
                 const TurtleHooks *hooks) {
    static const char *const names[] = {"", "magick", "ffmpeg"};
    const char *program = names[decoder->program];
    for (int i = 0; i < u->kinds; i++) {
        const UnreadKind *k = &u->item[i];
        char command[512];
        how_to_convert(command, sizeof command, k, folder);
        notice(hooks, "not read: %lld x %s, the first is %s; convert with: %s%s",
               (long long)k->count, k->kind, k->first, command,
               *program ? "" : "; or let --decoder magick or ffmpeg read them");
    }
    if (u->decoded) notice(hooks, "decoded by %s: %lld images", program, (long long)u->decoded);
}
