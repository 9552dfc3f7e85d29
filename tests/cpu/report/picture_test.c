/* picture_test.c - the README's picture of a report: small, readable, and of a page as it is laid out today. */
#include "io/images/image.h"
#include "tests/cpu/report/made_report.h"
#include "tests/support/check.h"

#define PICTURE "data/report.jpg" /* `make picture` writes it */

Test(picture, the_readme_shows_a_small_picture) {
    FileMap file, readme;
    Image image;
    Error err;
    ASSERT_OK(file_map(&file, PICTURE, &err), err);
    cr_expect(file.bytes > 20000 && file.bytes < 200000, "%lld bytes", (long long)file.bytes);
    ASSERT_OK(image_decode(&image, file.data, file.bytes, PICTURE, &err), err);
    cr_expect(image.width == 1280 && image.height > 1000, "%d x %d", image.width, image.height);
    /* it is a page and not one colour: the brand's green is there */
    int64_t green = 0, light = 0;
    const int64_t pixels = (int64_t)image.width * image.height;
    for (int64_t i = 0; i < pixels; i++) {
        const uint8_t *p = image.rgb + 3 * i;
        green += p[1] > p[0] + 40 && p[1] > p[2] + 10;
        light += p[0] > 240 && p[1] > 240 && p[2] > 240;
    }
    cr_expect(green > 500 && light > pixels / 2, "%lld green and %lld light pixels of %lld",
              (long long)green, (long long)light, (long long)pixels);
    ASSERT_OK(file_map(&readme, "README.md", &err), err);
    char *text = strndup((const char *)readme.data, (size_t)readme.bytes);
    cr_expect(strstr(text, "](" PICTURE ")") != NULL, "README.md does not show " PICTURE);
    free(text), free(image.rgb);
    file_unmap(&readme), file_unmap(&file);
}

Test(picture, a_page_has_the_parts_that_it_shows) {
    static const char *const shown[] = {">turtle report</p>",
                                        ">What was run</h2>",
                                        "Cluster accuracy</dt>",
                                        "Clusters found</dt>",
                                        "All settings and scores",
                                        ">Training</h2>",
                                        "<b>Loss</b>",
                                        "<b>Entropy</b>",
                                        "<b>Clusters found</b>",
                                        "<b>Cluster accuracy</b>",
                                        ">Clusters</h2>",
                                        "Most confident",
                                        "Most doubtful",
                                        NULL};
    char *folder = temporary_folder(), *path = format_text("%s/page.html", folder);
    MadeReport made;
    FileMap map;
    Error err;
    made_report(&made, MADE_DIGITS);
    ASSERT_OK(report_page_write(&made.report, path, &err), err);
    ASSERT_OK(file_map(&map, path, &err), err);
    char *html = strndup((const char *)map.data, (size_t)map.bytes);
    for (int i = 0; shown[i]; i++) cr_expect(strstr(html, shown[i]) != NULL, "no %s", shown[i]);
    file_unmap(&map);
    made_report_free(&made);
    free(html), free(path);
    remove_folder(folder);
}
