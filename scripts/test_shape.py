"""Run with `python3 -m unittest discover scripts`."""

import unittest

from shape import BANNED, RIDDLE, Modules, Source, purity, sentences


class Parsing(unittest.TestCase):
    def test_braces_and_comments_inside_literals_do_not_count(self):
        source = Source("a/src/lib.rs", 'fn one() {\n    let s = "}//{";\n    let c = \'{\';\n    r#"fn two() {"#\n}\n')
        self.assertEqual(list(source.functions()), [(1, 5)])
        self.assertEqual([kind for kind, _, _ in source.tokens], ["string", "string"])

    def test_lifetimes_are_no_character_literals(self):
        source = Source("a/src/lib.rs", "fn one<'a>(x: &'a [u8; 2]) -> &'a [u8; 2] {\n    x\n}\nfn declared();\n")
        self.assertEqual(list(source.functions()), [(1, 3)])

    def test_inline_tests_are_not_production(self):
        source = Source("a/src/lib.rs", "fn one() {}\n#[cfg(test)]\nmod tests {\n}\n")
        self.assertEqual(len(source.without_inline_tests().lines), 1)
        whole = Source("a/src/lib.rs", "fn one() {}\nfn two() {}\n")
        self.assertEqual(len(whole.without_inline_tests().lines), 2)

    def test_docs_are_joined_to_blocks_and_split_into_sentences(self):
        source = Source("a/src/lib.rs", "//! One.\n\n/// Returns the\n/// last. Whether\n/// it is.\nfn one() {}\n")
        self.assertEqual(list(source.docs()), [(1, "One."), (3, "Returns the\nlast. Whether\nit is.")])
        self.assertEqual(sentences("Returns the\nlast. Whether\nit is."), ["Returns the last.", "Whether it is."])
        self.assertTrue(RIDDLE.match("Whether it is."))
        self.assertFalse(RIDDLE.match("Offset of the record."))

    def test_code_is_no_prose(self):
        self.assertTrue(BANNED.search("it was told so"))
        self.assertFalse(BANNED.search("`told`, passbook.settle(1), toldo"))


class Imports(unittest.TestCase):
    def crate(self, **files):
        return Modules("a", [Source(f"a/src/{name.replace('__', '/')}.rs", text) for name, text in files.items()])

    def test_a_cycle_is_found_through_groups_and_super(self):
        modules = self.crate(one="use crate::{three, two::Two};", two="use super::three;", three="use crate::one::One;")
        self.assertEqual(modules.cycles(), [["one", "three", "two"]])

    def test_a_child_that_uses_its_parent_makes_no_cycle(self):
        self.assertEqual(self.crate(one="use self::two::Two;", one__two="use super::One;").cycles(), [])

    def test_an_import_that_runs_up_is_found(self):
        modules = self.crate(store="\nuse crate::http::App;", http="use crate::store;", domain="")
        self.assertEqual(list(modules.upward()), [("a/src/store.rs", 2, "imports http, which is above it")])


class Purity(unittest.TestCase):
    def test_a_pure_module_reads_no_clock_and_makes_no_id(self):
        text = "/// Not Timestamp::now.\nfn one() {\n    two(Uuid::now_v7, \"Uuid::new_v4\")\n}\n"
        found = []
        for name in ["command-service/src/decision/context.rs", "command-service/src/lanes/context.rs"]:
            list(purity([Source(name, text)], lambda *finding: found.append(finding)))
        self.assertEqual(found, [("command-service/src/decision/context.rs", 3, "`Uuid::now_v7` in a pure module")])


if __name__ == "__main__":
    unittest.main()
