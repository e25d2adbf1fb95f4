"""Takes the schemas of resources and data sources out of a package that was generated from a Terraform provider.

usage: schemas.py WHEEL TYPES OUT.json; TYPES is a file with one type a line, data sources as `data.TYPE`.

The package holds one JavaScript module a type. Beside each attribute stands whether it is computed, optional or
required; its getter tells its type, and the class behind it, if any, its nested block. Which of the nested ones are
blocks and which are attributes is told by the functions that write HCL.
"""

import io
import json
import re
import sys
import tarfile
import zipfile

CLASS = re.compile(r"^class (\w+) extends cdktn\.(\w+) \{\n(.*?)^\}", re.M | re.S)
TO_HCL = re.compile(r"^function (\w+)ToHclTerraform\(struct\) \{\n(.*?)^\}", re.M | re.S)
ENTRY = re.compile(
    r'^\s+"?(?P<name>\w+)"?: \{\n\s+value: (?P<value>.*?),\n\s+isBlock: (?P<block>\w+),\n'
    r'\s+type: "(?P<nesting>\w+)",\n\s+storageClassType: "(?P<storage>\w+)"',
    re.M,
)
MEMBER = re.compile(r"^\s+// (\w+) - computed: (\w+), optional: (\w+), required: (\w+)\n", re.M)
NESTED = re.compile(r'new (\w+)\(this, "\w+"(?:, (true|false))?\)')
LIBRARY = re.compile(r'new cdktn\.(\w+)\(this, "\w+"(?:, (true|false))?\)')

# What the library's getters and its classes for collections give.
GETTERS = {
    "getStringAttribute": "string",
    "getNumberAttribute": "number",
    "getBooleanAttribute": "bool",
    "getListAttribute": ["list", "string"],
    "getNumberListAttribute": ["list", "number"],
    "getStringMapAttribute": ["map", "string"],
    "getNumberMapAttribute": ["map", "number"],
    "getBooleanMapAttribute": ["map", "bool"],
    "getAnyMapAttribute": ["map", "string"],
    "interpolationForAttribute": "dynamic",
}
COLLECTIONS = {
    "StringMap": ["map", "string"],
    "NumberMap": ["map", "number"],
    "BooleanMap": ["map", "bool"],
    "AnyMap": ["map", "string"],
    "StringListMap": ["map", ["list", "string"]],
    "StringListList": ["list", ["list", "string"]],
    "StringMapList": ["list", ["map", "string"]],
    "NumberListList": ["list", ["list", "number"]],
    "BooleanList": ["list", "bool"],
}


def hcl_entries(body):
    """The attributes that a function writes: name -> (is a block, its nesting, the class of its value)."""
    entries = {}
    for entry in ENTRY.finditer(body):
        # A list of primitives is never a block, whatever it is called.
        primitives = re.search(r"listMapperHcl\(\w*\.?\w+, false\)", entry["value"])
        entries[entry["name"]] = (entry["block"] == "true" and not primitives, entry["nesting"], entry["storage"])
    return entries


class Module:
    """One generated module: a resource, a data source, or the provider's own configuration."""

    def __init__(self, javascript):
        self.classes = {name: (base, body) for name, base, body in CLASS.findall(javascript)}
        self.hcl = {name.lower(): hcl_entries(body) for name, body in TO_HCL.findall(javascript)}

    def main(self):
        for name, (base, body) in self.classes.items():
            if base in ("TerraformResource", "TerraformDataSource", "TerraformProvider"):
                return name, base, body
        raise SystemExit("a module without a resource")

    def schema(self):
        name, base, body = self.main()
        entries = hcl_entries(body.split("synthesizeHclAttributes()")[1])
        block = self.configuration(entries) if base == "TerraformProvider" else self.block(name, entries)
        version = re.search(r"providerVersion: '([\d.]+)'", body)
        return re.search(r'static tfResourceType = "(\w+)"', body)[1], base, version[1] if version else None, block

    def members(self, name):
        parts = MEMBER.split(self.classes[name][1].split("synthesizeAttributes()")[0])
        for at in range(1, len(parts), 5):
            flags = {key: value == "true" for key, value in zip(("computed", "optional", "required"), parts[at + 1 :])}
            yield parts[at], flags, parts[at + 4]

    def element(self, name):
        """How often the value of this class may occur, and the class of one of them."""
        for suffix, base, nesting in (("List", "ComplexList", "list"), ("Map", "ComplexMap", "map")):
            if name.endswith(suffix) and self.classes.get(name, ("",))[0] == base:
                return nesting, 0, name[: -len(suffix)] + "OutputReference"
        return "list", 1, name

    def attribute_type(self, code):
        nested, collection = NESTED.search(code), LIBRARY.search(code)
        if nested:
            nesting, _, element = self.element(nested[1])
            fields = {name: self.attribute_type(field) for name, _, field in self.members(element)}
            return ["set" if nested[2] == "true" else nesting, ["object", fields]]
        if collection:
            kind = COLLECTIONS[collection[1]]
            return ["set", kind[1]] if collection[2] == "true" and kind[0] == "list" else kind
        kind = GETTERS[re.search(r"this\.(\w+)\(", code)[1]]
        return ["set", kind[1]] if "Fn.tolist(" in code and kind[0] == "list" else kind

    def block(self, name, entries):
        block = {"attributes": {}, "block_types": {}}
        for member, flags, code in self.members(name):
            is_block, nesting, _ = entries.get(member, (False, "", ""))
            nested = NESTED.search(code)
            if nested and is_block and not flags["computed"]:
                block["block_types"][member] = self.nested(nested, nesting, flags)
                continue
            kind = self.attribute_type(code)
            if nesting == "set" and kind[0] == "list":
                kind = ["set", kind[1]]
            block["attributes"][member] = {"type": kind, **{flag: True for flag, on in flags.items() if on}}
        return block

    def nested(self, nested, nesting, flags):
        mode, most, element = self.element(nested[1])
        if nested[2] == "true" or nesting == "set":
            mode = "set"
        if nesting == "struct":
            mode = "single"
        entries = self.hcl.get(element.removesuffix("OutputReference").lower(), {})
        block = {"nesting_mode": mode, "block": self.block(element, entries)}
        if mode in ("list", "set"):
            block |= {"max_items": most} if most else {}
            block |= {"min_items": 1} if flags["required"] else {}
        return block

    def configuration(self, entries):
        """The provider's own block, of which only the HCL side is generated."""
        block = {"attributes": {}, "block_types": {}}
        for name, (is_block, nesting, storage) in entries.items():
            element = re.sub("(List|Map|OutputReference)$", "", storage)
            if is_block:
                inner = self.configuration(self.hcl.get(element.lower(), {}))
                nested = {"nesting_mode": "list" if nesting == "struct" else nesting, "block": inner}
                block["block_types"][name] = nested | ({} if nesting == "set" else {"max_items": 1})
            else:
                element = {"boolean": "bool"}.get(element, element)
                kind = element if nesting == "simple" else [nesting, element]
                block["attributes"][name] = {"type": kind, "optional": True}
        return block


def modules(wheel, wanted):
    """The texts of the wanted modules: folder -> text. A large one is several files, which name each other."""
    with zipfile.ZipFile(wheel) as outer:
        inner = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        archive = tarfile.open(fileobj=io.BytesIO(outer.read(inner)))
    texts = {}
    for member in archive:
        path = member.name.split("/")
        if len(path) > 3 and path[1] == "lib" and path[2] in wanted and path[-1].endswith(".js"):
            text = archive.extractfile(member).read().decode()
            texts[path[2]] = texts.get(path[2], "") + re.sub(r"\b(?:index|structs)\w*_\d+\.(?=\w)", "", text)
    return texts


def folder(kind):
    """Where the package keeps a type: aws_ebs_volume in ebs-volume, data.aws_ami in data-aws-ami."""
    if kind.startswith("data."):
        return kind.replace(".", "-").replace("_", "-")
    return kind.split("_", 1)[1].replace("_", "-")


def main():
    wheel, types, out = sys.argv[1:]
    prefix = "google" if "google" in wheel.rsplit("/", 1)[-1] else "aws"
    with open(types, encoding="utf-8") as lines:
        kinds = [kind for kind in lines.read().split() if kind.removeprefix("data.").startswith(prefix + "_")]
    wanted = {"provider"} | {folder(kind) for kind in kinds}
    schemas = {"resource_schemas": {}, "data_source_schemas": {}}
    texts = modules(wheel, wanted)
    missing = wanted - texts.keys()
    if missing:
        raise SystemExit(f"{wheel} has no {', '.join(sorted(missing))}")
    for text in texts.values():
        kind, base, version, block = Module(text).schema()
        schemas["version"] = schemas.get("version") or version
        if base == "TerraformProvider":
            schemas["provider"] = {"block": block}
        else:
            group = "data_source_schemas" if base == "TerraformDataSource" else "resource_schemas"
            schemas[group][kind] = {"version": 0, "block": block}
    with open(out, "w", encoding="utf-8") as file:
        json.dump(schemas, file, indent=1, sort_keys=True)
    print(schemas["version"])


main()
