"""The paper's tables with our columns beside the paper's, from the folders of a sweep."""
